"""Depths of the inbound queue and its dead-letter queue."""

import json
from typing import Any

from mailroom.audit.report import Report

_DEPTHS = {
    "ApproximateNumberOfMessages": "queue waiting",
    "ApproximateNumberOfMessagesNotVisible": "queue in hand",
    "ApproximateNumberOfMessagesDelayed": "queue delayed",
}


def check_queue(sqs: Any, url: str, report: Report) -> None:
    """Count waiting messages; a dead letter is a mail that is not processed unless an operator redrives it."""
    values = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[*_DEPTHS, "RedrivePolicy"])["Attributes"]
    for name, meaning in _DEPTHS.items():
        report.counts[meaning] = int(values.get(name, 0))
    if "RedrivePolicy" not in values:
        report.violate(
            "no dead letters", url.rpartition("/")[2], "the queue has no dead-letter queue; add a redrive policy"
        )
        return
    account, name = json.loads(values["RedrivePolicy"])["deadLetterTargetArn"].split(":")[4:6]
    dead = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    depths = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=list(_DEPTHS))["Attributes"]
    report.counts["dead letters"] = sum(int(depths.get(depth, 0)) for depth in _DEPTHS)
    if report.counts["dead letters"]:
        report.violate(
            "dead letters",
            name,
            f"{report.counts['dead letters']} dead letters; find the cause, then "
            "redrive them (inbound: mailroom replay --dlq)",
        )
