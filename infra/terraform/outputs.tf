output "digests" {
  description = "SHA-256 of every policy document; equal to `airflow-distill iam --workload FILE --digests`."
  value       = module.documents.digests
}

output "customization_role_arn" {
  description = "For `role_arn` of the workload file."
  value       = aws_iam_role.customization.arn
}

output "evaluation_role_arn" {
  description = "For `evaluation_role_arn` of the workload file; null where there is none."
  value       = one(aws_iam_role.evaluation[*].arn)
}
