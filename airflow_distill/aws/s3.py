"""S3 as an `ObjectStore`: list through all pages, open as streams, write conditionally."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from boto3.exceptions import S3UploadFailedError

from airflow_distill.aws.calls import Gateway
from airflow_distill.aws.failure import translate
from airflow_distill.errors import (
    ConfigurationError,
    ServiceConflictError,
    ServiceError,
    ServiceNotFoundError,
)
from airflow_distill.remote.backoff import again
from airflow_distill.remote.times import iso
from airflow_distill.stages.storage import (
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    StoredObject,
)

CONFLICT_PAUSES = (0.1, 0.4, 1.6)
"""Seconds before a conditional write that met another one is tried again."""

_URI = re.compile(r"s3://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


def split_uri(uri: str) -> tuple[str, str]:
    """Return (bucket, key) of an S3 URI; the key may be empty.

    :raises ConfigurationError: the text is not an S3 URI.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise ConfigurationError(f"s3: {uri!r} is not an S3 URI.", hint="Write it as s3://bucket/key.")
    return match.group(1), match.group(2) or ""


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload in parts that has not ended: a worker is at it, or was killed over it.

    :param begun_at: ISO 8601 UTC, as the service says.
    """

    uri: str
    upload_id: str
    begun_at: str


class S3Store(Gateway):
    """Objects of every bucket the client may reach; URIs are `s3://bucket/key`."""

    def iter_objects(self, prefix: str) -> Iterator[StoredObject]:
        bucket, key = split_uri(prefix)
        parameters: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
        while True:
            page = self.call("list_objects_v2", **parameters)
            for item in page.get("Contents", ()):
                yield StoredObject(
                    f"s3://{bucket}/{item['Key']}",
                    int(item["Size"]),
                    str(item.get("ETag", "")),
                    written=item["LastModified"].timestamp() if "LastModified" in item else 0.0,
                )
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def iter_folders(self, prefix: str) -> Iterator[str]:
        """Yield the URIs of the folders directly below a prefix (with a trailing slash)."""
        bucket, key = split_uri(prefix)
        parameters: dict[str, Any] = {"Bucket": bucket, "Prefix": key, "Delimiter": "/"}
        while True:
            page = self.call("list_objects_v2", **parameters)
            for item in page.get("CommonPrefixes", ()):
                yield f"s3://{bucket}/{item['Prefix']}"
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def open(self, uri: str) -> BinaryIO:
        bucket, key = split_uri(uri)
        try:
            body = self.call("get_object", Bucket=bucket, Key=key)["Body"]
        except ServiceNotFoundError as error:
            raise ObjectMissingError(uri) from error
        return cast("BinaryIO", body)

    def read(self, uri: str) -> bytes:
        stream = self.open(uri)
        try:
            return stream.read()
        except Exception as error:
            raise translate(error, "GetObject") from error

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> None:
        bucket, key = split_uri(uri)
        parameters: dict[str, Any] = {"Bucket": bucket, "Key": key, "Body": data}
        if if_absent:
            parameters["IfNoneMatch"] = "*"
        try:
            self._put(parameters)
        except ServiceError as error:
            if if_absent and (error.code == "PreconditionFailed" or isinstance(error, ServiceConflictError)):
                raise ObjectExistsError(uri) from error
            raise

    def read_tagged(self, uri: str) -> tuple[bytes, str]:
        bucket, key = split_uri(uri)
        try:
            answer = self.call("get_object", Bucket=bucket, Key=key)
        except ServiceNotFoundError as error:
            raise ObjectMissingError(uri) from error
        try:
            return cast("bytes", answer["Body"].read()), str(answer["ETag"])
        except Exception as error:
            raise translate(error, "GetObject") from error

    def write_over(self, uri: str, data: bytes, tag: str) -> None:
        """Replace an object by `If-Match` (AWS: S3 conditional writes)."""
        bucket, key = split_uri(uri)
        try:
            self._put({"Bucket": bucket, "Key": key, "Body": data, "IfMatch": tag})
        except ServiceNotFoundError as error:
            raise ObjectChangedError(uri) from error
        except ServiceError as error:
            if error.code == "PreconditionFailed" or isinstance(error, ServiceConflictError):
                raise ObjectChangedError(uri) from error
            raise

    def iter_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the uploads in parts that were begun under a prefix and never ended; their parts are billed as storage."""
        bucket, key = split_uri(prefix)
        parameters: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
        while True:
            page = self.call("list_multipart_uploads", **parameters)
            for item in page.get("Uploads", ()):
                begun = iso(item["Initiated"])
                yield UnfinishedUpload(f"s3://{bucket}/{item['Key']}", str(item["UploadId"]), begun)
            if not page.get("IsTruncated"):
                return
            parameters["KeyMarker"] = page["NextKeyMarker"]
            parameters["UploadIdMarker"] = page["NextUploadIdMarker"]

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """Remove the parts of an upload; one that has ended meanwhile is not an error."""
        bucket, key = split_uri(upload.uri)
        try:
            self.call("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload.upload_id)
        except ServiceError as error:
            if error.code != "NoSuchUpload":
                raise

    def _put(self, parameters: dict[str, Any]) -> None:
        """Put an object; a conditional write that met a concurrent one has not happened and is tried again.

        S3 says so with 409 ConditionalRequestConflict, which the SDK does not retry (AWS: S3 conditional writes).
        """
        again(
            lambda: self.call("put_object", **parameters),
            CONFLICT_PAUSES,
            time.sleep,
            lambda error: error.code == "ConditionalRequestConflict",
        )

    def upload(self, uri: str, path: Path) -> None:
        """Write an object from a file; large ones in parts, which the SDK removes again when the upload fails."""
        bucket, key = split_uri(uri)
        try:
            self.client.upload_file(str(path), bucket, key)
        except S3UploadFailedError as error:  # a wrapping that hides whether asking again can help
            cause = error.__context__ if isinstance(error.__context__, Exception) else error
            raise translate(cause, "PutObject") from error
        except Exception as error:
            raise translate(error, "PutObject") from error

    def exists(self, uri: str) -> bool:
        bucket, key = split_uri(uri)
        try:
            self.call("head_object", Bucket=bucket, Key=key)
        except ServiceNotFoundError:
            return False
        return True

    def delete(self, uri: str) -> None:
        bucket, key = split_uri(uri)
        self.call("delete_object", Bucket=bucket, Key=key)

    def bucket_region(self, bucket: str) -> str:
        """Return the Region a bucket lives in; the service answers with nothing for us-east-1."""
        return str(self.call("get_bucket_location", Bucket=bucket).get("LocationConstraint") or "us-east-1")
