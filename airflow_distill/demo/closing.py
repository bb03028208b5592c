"""Turns the receipts of a run into the closing table and the report the demonstration leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_distill.aws.gateways import AwsGateways
from airflow_distill.demo.show import counts_text
from airflow_distill.demo.traffic import Traffic
from airflow_distill.stages.storage import ObjectMissingError

if TYPE_CHECKING:
    from airflow_distill.demo.run import Demonstration

Facts = list[tuple[str, str]]
