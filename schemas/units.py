"""Money is integers: precisions, limits, and the one text form of an amount."""

from __future__ import annotations

import re
from typing import Annotated, Final, NamedTuple

from annotated_types import Predicate

from schemas.refusals import Reason, Refusal

# Digits behind the decimal point.
SETTLEMENT_PRECISION: Final = 8  # balances, values and equity in the settlement asset
REQUIREMENT_PRECISION: Final = 6  # gross, net, requirement, initial
RATIO_PRECISION: Final = 6  # ratio, saving
RATE_PRECISION: Final = 8  # rates, weights, correlations, band limits, multipliers
INDEX_PRECISION: Final = 8  # index prices
CONTRACT_PRECISION: Final = 8  # price precision + size precision of an instrument, at most

# Limits of one field. Sums of many events may be larger; they are exact all the same.
MAX_WHOLE_DIGITS: Final = 12
MAX_DECIMALS: Final = 8
MAX_COUNT: Final = 10**9
MAX_VOLUME_DAYS: Final = 400
MIN_TS: Final = 946_684_800_000  # 2000-01-01 UTC
MAX_TS: Final = 4_102_444_799_999  # the last millisecond of 2099 UTC
DAY_MS: Final = 86_400_000

MAX_EVENT_BYTES: Final = 64 * 1024
MAX_PARAMETERS_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 16

DECIMAL_PATTERN: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_DECIMAL = re.compile(DECIMAL_PATTERN.replace("$", r"\Z"), re.ASCII)
_CANONICAL_DECIMAL = re.compile(
    rf"-?(?:0|[1-9][0-9]{{0,{MAX_WHOLE_DIGITS - 1}}})(?:\.[0-9]{{0,{MAX_DECIMALS - 1}}}[1-9])?\Z", re.ASCII
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9._:/-]{1,64}\Z", re.ASCII)
_LIQUIDATION_ID = re.compile(r"[A-Za-z0-9._:/-]{1,160}\Z", re.ASCII)


class ExactDecimal(NamedTuple):
    """`units / 10**places`, in lowest terms: `places` is 0 or the last digit is not 0."""

    units: int
    places: int

    @classmethod
    def of(cls, units: int, places: int) -> ExactDecimal:
        """The decimal `units / 10**places`, with trailing zeros taken off."""
        while places and units % 10 == 0:
            units //= 10
            places -= 1
        return cls(units, places)

    def at(self, precision: int, field: str) -> int:
        """This amount as an integer scaled by 10**precision. Refusal: `too_precise`."""
        if self.places > precision:
            raise Refusal(Reason.TOO_PRECISE, field, f"at most {precision} decimals, not {self.places}")
        return self.units * int(10 ** (precision - self.places))

    def text(self) -> str:
        """Plain notation without trailing zeros: "12.5", "0", "-3"."""
        units, places = self
        digits = str(units)
        if not places:
            return digits
        if units < 0 or len(digits) <= places:
            sign = "-" if units < 0 else ""
            digits = sign + str(abs(units)).rjust(places + 1, "0")
        return f"{digits[:-places]}.{digits[-places:]}"


def parse_decimal(text: str) -> ExactDecimal:
    """Read plain decimal notation. Refusals: `malformed_number`, `out_of_range`, `too_precise`."""
    if not _CANONICAL_DECIMAL.match(text):
        return _parse_uncommon_decimal(text)
    whole, _, fraction = text.partition(".")
    return ExactDecimal(int(whole + fraction), len(fraction))


def _parse_uncommon_decimal(text: str) -> ExactDecimal:
    # The length is looked at first: nothing of thousands of digits is ever made a number.
    if len(text) > 400:
        raise Refusal(Reason.OUT_OF_RANGE, "", f"{len(text)} characters are no amount")
    if not _DECIMAL.match(text):
        raise Refusal(Reason.MALFORMED_NUMBER, "", 'a plain decimal string like "12.5" is needed')
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(whole.lstrip("-")) > MAX_WHOLE_DIGITS:
        raise Refusal(Reason.OUT_OF_RANGE, "", f"at most {MAX_WHOLE_DIGITS} digits before the point")
    if len(fraction) > MAX_DECIMALS:
        raise Refusal(Reason.TOO_PRECISE, "", f"at most {MAX_DECIMALS} decimals")
    return ExactDecimal(int(whole + fraction), len(fraction))


def format_units(units: int, precision: int) -> str:
    """An integer scaled by 10**precision as canonical text."""
    return ExactDecimal.of(units, precision).text()


def _positive(value: ExactDecimal) -> bool:
    return value.units > 0 or _refuse("must be greater than 0")


def _not_negative(value: ExactDecimal) -> bool:
    return value.units >= 0 or _refuse("must not be negative")


def _not_zero(value: ExactDecimal) -> bool:
    return value.units != 0 or _refuse("must not be 0")


def _unit_interval(value: ExactDecimal) -> bool:
    return 0 <= value.units <= 10**value.places or _refuse("must lie between 0 and 1")


def _correlation(value: ExactDecimal) -> bool:
    return abs(value.units) <= 10**value.places or _refuse("must lie between -1 and 1")


def _timestamp(value: int) -> bool:
    return MIN_TS <= value <= MAX_TS or _refuse("must lie between the years 2000 and 2100")


def _count(value: int) -> bool:
    return 0 <= value <= MAX_COUNT or _refuse(f"must lie between 0 and {MAX_COUNT}")


def _version(value: int) -> bool:
    return 1 <= value <= MAX_COUNT or _refuse(f"must lie between 1 and {MAX_COUNT}")


def _volume_days(value: int) -> bool:
    return 1 <= value <= MAX_VOLUME_DAYS or _refuse(f"must lie between 1 and {MAX_VOLUME_DAYS}")


def _asset_precision(value: int) -> bool:
    return 0 <= value <= MAX_DECIMALS or _refuse(f"must lie between 0 and {MAX_DECIMALS}")


def is_identifier(value: str) -> bool:
    """Whether the text can be an event, account, withdrawal or stop id."""
    return _IDENTIFIER.match(value) is not None


def _identifier(value: str) -> bool:
    return _IDENTIFIER.match(value) is not None or _invalid("1 to 64 characters of A-Za-z0-9._:- are needed")


def _symbol(value: str) -> bool:
    return _SYMBOL.match(value) is not None or _invalid("1 to 64 characters of A-Za-z0-9._:/- are needed")


def _liquidation_id(value: str) -> bool:
    return _LIQUIDATION_ID.match(value) is not None or _invalid("not a liquidation id")


def _note(value: str) -> bool:
    readable = 1 <= len(value) <= 256 and value.isprintable()
    return readable or _invalid("1 to 256 printable characters are needed")


def _refuse(detail: str) -> bool:
    raise Refusal(Reason.OUT_OF_RANGE, "", detail)


def _invalid(detail: str) -> bool:
    raise Refusal(Reason.INVALID_VALUE, "", detail)


class Many:
    """Marks a list of the contract: the edge stops reading one at its first mistake."""


class Tagged(NamedTuple):
    """Marks a choice of objects: `field` says which of them it is."""

    field: str


# The field types of the contract: what a value of the right JSON type must also be.
Positive = Annotated[ExactDecimal, Predicate(_positive)]
NotNegative = Annotated[ExactDecimal, Predicate(_not_negative)]
NotZero = Annotated[ExactDecimal, Predicate(_not_zero)]
UnitInterval = Annotated[ExactDecimal, Predicate(_unit_interval)]
Correlation = Annotated[ExactDecimal, Predicate(_correlation)]
Timestamp = Annotated[int, Predicate(_timestamp)]
Count = Annotated[int, Predicate(_count)]
Version = Annotated[int, Predicate(_version)]
VolumeDays = Annotated[int, Predicate(_volume_days)]
Precision = Annotated[int, Predicate(_asset_precision)]
Identifier = Annotated[str, Predicate(_identifier)]
Symbol = Annotated[str, Predicate(_symbol)]
LiquidationId = Annotated[str, Predicate(_liquidation_id)]
Note = Annotated[str, Predicate(_note)]
