# The documents that `airflow-distill iam` printed, by use, with their digests. It needs no provider.

variable "iam_file" {
  description = "Path of what `airflow-distill iam --workload FILE` printed."
  type        = string
}

locals {
  documents = jsondecode(file(var.iam_file))
  # jsonencode escapes what HTML would read; IAM and the digests take the characters themselves.
  json = { for name, document in local.documents : name => replace(replace(replace(
  jsonencode(document), "\\u003c", "<"), "\\u003e", ">"), "\\u0026", "&") }
}

output "json" {
  description = "Each document as JSON text: keys sorted, no spaces."
  value       = local.json
}

output "digests" {
  description = "SHA-256 of each text."
  value       = { for name, text in local.json : name => sha256(text) }
}

output "customization_policies" {
  description = "Policies of the customization role, by name."
  value       = { for name, text in local.json : name => text if startswith(name, "customization-role-policy") }
}

output "evaluation_policies" {
  description = "Policies of the evaluation role, by name."
  value       = { for name, text in local.json : name => text if startswith(name, "evaluation-role-policy") }
}

output "airflow_policies" {
  description = "Policies of the Airflow identity, by name; attach all."
  value       = { for name, text in local.json : name => text if startswith(name, "airflow-policy") }
}

output "has_evaluation_role" {
  description = "Whether the workload file names an evaluation role."
  value       = contains(keys(local.json), "evaluation-role-trust")
}
