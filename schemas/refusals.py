"""Why an input is refused: the closed list of reason codes, and the exception that carries one."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Reason codes of `event_refused`. The list is closed: consumers may switch on it."""

    # What arrived is not one readable record.
    TOMBSTONE = "tombstone"  # a record without a value
    TOO_LARGE = "too_large"  # more bytes than the limit for its type
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"  # nested deeper than any event
    DUPLICATE_KEY = "duplicate_key"  # one JSON object names a field twice
    NOT_AN_OBJECT = "not_an_object"

    # It is not an event of the contract.
    UNKNOWN_TYPE = "unknown_type"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"  # a JSON type other than the field's
    INVALID_VALUE = "invalid_value"  # right type, but not one of the values allowed
    MALFORMED_NUMBER = "malformed_number"  # not a plain decimal string
    TOO_PRECISE = "too_precise"  # more significant decimals than declared
    OUT_OF_RANGE = "out_of_range"  # outside the limits of `schemas.units`, zero or negative

    # It came by the wrong way.
    WRONG_TOPIC = "wrong_topic"
    KEY_MISMATCH = "key_mismatch"  # the record's key is not its account
    WRONG_PARTITION = "wrong_partition"  # the partition is not the one of its key
    TS_IN_FUTURE = "ts_in_future"  # too far ahead of the writer's clock
    SKIPPED = "skipped"  # a person has told the ledger to pass it over, and why

    # The ledger cannot apply it as things stand.
    NO_PARAMETERS = "no_parameters"  # nothing is known before the first risk parameters
    UNKNOWN_SYMBOL = "unknown_symbol"
    UNKNOWN_ASSET = "unknown_asset"
    DUPLICATE_EVENT = "duplicate_event"  # this event id was applied before
    TOO_LATE = "too_late"  # too old to know whether it was applied before
    OUT_OF_ORDER = "out_of_order"  # a price older than the last one applied
    STALE_VERSION = "stale_version"  # risk parameters not newer than those in force
    UNSOUND_PARAMETERS = "unsound_parameters"


class Refusal(ValueError):
    """An input is refused as a whole, and nothing has changed.

    `field` is the dotted path of the field at fault ("" when it is the whole record).
    """

    def __init__(self, reason: Reason, field: str = "", detail: str = "") -> None:
        super().__init__(f"{reason}: {field}: {detail}" if field else f"{reason}: {detail}")
        self.reason = reason
        self.field = field
        self.detail = detail
        self.account_id: str | None = None
        self.event_id: str | None = None

    def about(self, *, account_id: str | None, event_id: str | None) -> Self:
        """Say whose event this was, as far as it could be read."""
        self.account_id = account_id
        self.event_id = event_id
        return self
