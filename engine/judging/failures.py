"""What becomes of a judge's failure: who stands in, and the sentence the candidate reads."""

from __future__ import annotations

from typing import Final

from engine.judging.judge import FailureCode
from engine.record.evaluations import Error

OUTAGES: Final[frozenset[FailureCode]] = frozenset(
    {"unavailable", "rate_limited", "timeout", "job_timeout", "rejected", "truncated", "garbled", "over_budget"}
)
"""This judge cannot be asked now, whatever was handed in: the next in the order takes all that is left."""
DECLINED: Final[frozenset[FailureCode]] = frozenset({"refused", "content_filter", "captured"})
"""What a submission may bring about on purpose. Another model may be asked about that criterion; the offline judge
never stands in, or candidates could choose the judge that looks for words. Failures in neither set are answers of a
wrong shape: the next in the order, whoever it is, is asked about that criterion alone."""
SAFE: Final = "Your submission is safe; you can ask for the evaluation again."
SAID: Final[dict[FailureCode, str]] = {
    "unavailable": f"The judge could not be reached. {SAFE}",
    "rate_limited": f"The judge is overloaded. {SAFE}",
    "timeout": f"The judge took too long. {SAFE}",
    "job_timeout": f"The evaluation took too long. {SAFE}",
    "rejected": f"The judge is not set up correctly; please tell whoever runs this site. {SAFE}",
    "refused": f"The judge declined to judge this submission. {SAFE}",
    "content_filter": f"The judge's provider filtered this submission. {SAFE}",
    "captured": f"The judge did not keep to its rules on this submission. {SAFE}",
    "over_budget": f"Your share of judging by a model is used up for today. {SAFE}",
}
UNUSABLE: Final = f"The judge gave an unusable answer. {SAFE}"
INTERNAL: Final = Error(code="internal", message=f"Something went wrong while judging. {SAFE}", retryable=True)


def error_of(code: FailureCode) -> Error:
    """The failure as it is stored and announced. Any may be retried: judges change, and nobody is left stuck."""
    return Error(code=f"judge_{code}", message=SAID.get(code, UNUSABLE), retryable=True)
