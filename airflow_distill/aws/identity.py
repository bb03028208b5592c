"""STS and IAM, read-only: who is asking, and what a service role looks like."""

from __future__ import annotations

from typing import Any

from airflow_distill.aws.calls import Gateway


class IdentityGateway(Gateway):
    """`sts` and `iam`: one method per call we make.

    :param sts: a boto3 STS client.
    :param iam: a boto3 IAM client.
    """

    def __init__(self, sts: Any, iam: Any) -> None:
        super().__init__(sts)
        self._iam = Gateway(iam)

    def caller(self) -> dict[str, Any]:
        """Return `Account`, `Arn` and `UserId` of the identity that answers for this connection."""
        return self.call("get_caller_identity")

    def role(self, role_name: str) -> dict[str, Any]:
        """Return a role, its trust policy decoded by the SDK under `AssumeRolePolicyDocument`."""
        role: dict[str, Any] = self._iam.call("get_role", RoleName=role_name)["Role"]
        return role

    def inline_policies(self, role_name: str) -> list[dict[str, Any]]:
        """Return the documents of a role's inline policies."""
        names: list[str] = []
        for page in self._iam.pages("list_role_policies", RoleName=role_name):
            names += page.get("PolicyNames", [])
        return [
            self._iam.call("get_role_policy", RoleName=role_name, PolicyName=n)["PolicyDocument"]
            for n in names
        ]

    def attached_policies(self, role_name: str) -> list[dict[str, Any]]:
        """Return the default-version documents of a role's managed policies."""
        documents: list[dict[str, Any]] = []
        attached = self._iam.call("list_attached_role_policies", RoleName=role_name).get(
            "AttachedPolicies", []
        )
        for policy in attached:
            arn = policy["PolicyArn"]
            version = self._iam.call("get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = self._iam.call("get_policy_version", PolicyArn=arn, VersionId=version)
            documents.append(document["PolicyVersion"]["Document"])
        return documents
