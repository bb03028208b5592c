variable "workload" {
  description = "Name of the workload: the name of its file without .yaml."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]*$", var.workload))
    error_message = "A workload's name is lower-case letters, digits and underscores."
  }
}

variable "iam_file" {
  description = "Path of what `airflow-distill iam --workload FILE` printed."
  type        = string
}

variable "data_bucket" {
  description = "Name of the bucket that holds the workload's folder (`root` in the workload file)."
  type        = string
}

variable "root_prefix" {
  description = "The part of `root` behind the bucket, without slashes at its ends: `loop` for s3://acme-distill/loop."
  type        = string
}

variable "log_bucket" {
  description = "Name of the bucket that receives invocation logs; empty where it exists already."
  type        = string
  default     = ""
}

variable "log_prefix" {
  description = "Prefix of the invocation logs in that bucket."
  type        = string
  default     = "bedrock"
}

variable "enable_invocation_logging" {
  description = "Write the invocation logging configuration of the account and Region; it replaces what is there."
  type        = bool
  default     = false
}

variable "customization_role_name" {
  description = "Name of the customization service role (`role_arn` in the workload file)."
  type        = string
  default     = "distill-customization"
}

variable "evaluation_role_name" {
  description = "Name of the evaluation service role (`evaluation_role_arn`); made only where the file names one."
  type        = string
  default     = "distill-evaluation"
}

variable "airflow_role_name" {
  description = "Name of the role that Airflow's workers and triggerer use; empty to attach nothing."
  type        = string
  default     = ""
}

variable "kms_key_arn" {
  description = "KMS key of the data bucket; empty for S3-managed keys. Give it to `airflow-distill iam --data-key` too."
  type        = string
  default     = ""
}

variable "monthly_budget_usd" {
  description = "Budget a month for what carries the workload's tag; 0 makes none."
  type        = number
  default     = 200
}

variable "notify_emails" {
  description = "Addresses told at 80 % and 100 % of the budget."
  type        = list(string)
  default     = []
}

variable "alarm_topic_arns" {
  description = "SNS topics told by the alarms."
  type        = list(string)
  default     = []
}
