# What one workload of airflow-distill needs in an account: see ../README.md.

module "documents" {
  source   = "./documents"
  iam_file = var.iam_file
}

locals {
  own_prefix = "${var.root_prefix}/${var.workload}"
  tags       = { "airflow-distill:workload" = var.workload }
  expires = {
    windows     = 30
    datasets    = 30
    evaluations = 90
    jobs        = 90
  }
}

# The bucket of the loop. Releases, evidence and fingerprints never expire: a rollback needs them.

resource "aws_s3_bucket" "data" {
  bucket = var.data_bucket
  tags   = local.tags
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket                  = aws_s3_bucket.data.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.data.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id
  rule {
    bucket_key_enabled = var.kms_key_arn != ""
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == "" ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn == "" ? null : var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  dynamic "rule" {
    for_each = local.expires
    content {
      id     = rule.key
      status = "Enabled"
      filter {
        prefix = "${local.own_prefix}/${rule.key}/"
      }
      expiration {
        days = rule.value
      }
    }
  }

  rule {
    id     = "parts"
    status = "Enabled"
    filter {
      prefix = ""
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

# The bucket of the logs.

resource "aws_s3_bucket" "logs" {
  count  = var.log_bucket == "" ? 0 : 1
  bucket = var.log_bucket
}

resource "aws_s3_bucket_public_access_block" "logs" {
  count                   = length(aws_s3_bucket.logs)
  bucket                  = aws_s3_bucket.logs[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "logs" {
  count  = length(aws_s3_bucket.logs)
  bucket = aws_s3_bucket.logs[0].id
  policy = module.documents.json["log-bucket-policy"]
}

resource "aws_bedrock_model_invocation_logging_configuration" "this" {
  count      = var.enable_invocation_logging ? 1 : 0
  depends_on = [aws_s3_bucket_policy.logs]

  logging_config {
    text_data_delivery_enabled      = true
    image_data_delivery_enabled     = false
    embedding_data_delivery_enabled = false
    s3_config {
      bucket_name = var.log_bucket
      key_prefix  = var.log_prefix
    }
  }
}

# The service roles, and the policies of the Airflow identity.

resource "aws_iam_role" "customization" {
  name               = var.customization_role_name
  assume_role_policy = module.documents.json["customization-role-trust"]
  tags               = local.tags
}

resource "aws_iam_role_policy" "customization" {
  for_each = module.documents.customization_policies
  name     = each.key
  role     = aws_iam_role.customization.id
  policy   = each.value
}

resource "aws_iam_role" "evaluation" {
  count              = module.documents.has_evaluation_role ? 1 : 0
  name               = var.evaluation_role_name
  assume_role_policy = module.documents.json["evaluation-role-trust"]
  tags               = local.tags
}

resource "aws_iam_role_policy" "evaluation" {
  for_each = module.documents.evaluation_policies
  name     = each.key
  role     = aws_iam_role.evaluation[0].id
  policy   = each.value
}

resource "aws_iam_policy" "airflow" {
  for_each = module.documents.airflow_policies
  name     = "${each.key}-${var.workload}"
  policy   = each.value
  tags     = local.tags
}

resource "aws_iam_role_policy_attachment" "airflow" {
  for_each   = var.airflow_role_name == "" ? {} : aws_iam_policy.airflow
  role       = var.airflow_role_name
  policy_arn = each.value.arn
}

# Told before it costs.

resource "aws_cloudwatch_metric_alarm" "log_delivery" {
  alarm_name          = "distill-${var.workload}-log-delivery"
  alarm_description   = "Bedrock could not deliver invocation logs to S3: the next dataset will lack them."
  namespace           = "AWS/Bedrock"
  metric_name         = "ModelInvocationLogsS3DeliveryFailure"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "throttled" {
  alarm_name          = "distill-${var.workload}-throttled"
  alarm_description   = "Bedrock throttled more than 100 calls in an hour: the application or the evaluation needs a higher quota."
  namespace           = "AWS/Bedrock"
  metric_name         = "InvocationThrottles"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 1
  threshold           = 100
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
}

resource "aws_budgets_budget" "workload" {
  count        = var.monthly_budget_usd > 0 ? 1 : 0
  name         = "distill-${var.workload}"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:airflow-distill:workload%s%s", "$", var.workload)]
  }

  dynamic "notification" {
    for_each = length(var.notify_emails) > 0 ? [80, 100] : []
    content {
      comparison_operator        = "GREATER_THAN"
      notification_type          = notification.value == 100 ? "ACTUAL" : "FORECASTED"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = var.notify_emails
    }
  }
}
