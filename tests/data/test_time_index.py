"""Times that go on: beside what pandas makes of the same step."""

import numpy as np
import pandas as pd
import pytest

from sinrnn.data.time_index import Step, TimeIndex, continued, daylight_saving, steps

# a frequency of pandas, and a step in words
FREQUENCIES = {
    "min": "1 minute",
    "90s": "90 s",
    "h": "1 hour",
    "36h": "36 hours",
    "D": "1 day",
    "B": "1 weekday",
    "W-WED": "7 days",
    "MS": "1 month",
    "ME": "1 month",
    "BMS": "1 month",
    "BME": "1 month",
    "QS-FEB": "3 months",
    "QE": "3 months",
    "YS-APR": "1 year",
    "YE": "1 year",
    "2YS": "2 years",
}


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("first", ["2023-12-29 07:30", "2024-01-31", "1899-02-28"])
def test_step_is_found_and_goes_on_as_pandas_has_it(first, frequency):
    times = pd.date_range(first, periods=60, freq=frequency).to_numpy().astype("datetime64[us]")
    step, count = steps(times[:40])
    assert (count == 1).all()
    assert str(step) == FREQUENCIES[frequency]
    np.testing.assert_array_equal(continued(times[39], step, 20), times[40:])


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_missing_times_are_counted(frequency):
    times = pd.date_range("2023-02-28", periods=60, freq=frequency).to_numpy()
    step, count = steps(np.delete(times, [20, 30, 31]).astype("datetime64[us]"))
    assert str(step) == FREQUENCIES[frequency]
    assert (count[19], count[28], count.sum()) == (2, 3, 59)


@pytest.mark.parametrize("size", [1, 24])
def test_years_of_365_days_go_on_without_leap_days(size):
    times = pd.date_range("2023-01-01", "2029-01-01", freq=f"{24 // size}h")
    times = times[(times.month != 2) | (times.day != 29)].to_numpy().astype("datetime64[us]")
    split = 365 * size  # the first leap day is yet to come
    step, _ = steps(times[: 2 * split])
    assert not step.leap
    found = continued(times[2 * split - 1], step, len(times) - 2 * split)
    np.testing.assert_array_equal(found, times[2 * split :])


@pytest.mark.parametrize(
    ("numbers", "step", "text"),
    [
        ([1998, 1999, 2000], 1, ["2001", "2002"]),
        ([0.1, 0.2, 0.3], 0.1, ["0.4", "0.5"]),
        ([0, 0.333, 0.667, 1], 0.333, ["1.333", "1.666"]),
    ],
)
def test_numbers_go_on(numbers, step, text):
    found, count = steps(np.array(numbers))
    assert (count == 1).all()
    assert found.size == pytest.approx(step)
    index = TimeIndex(np.array(numbers), found)
    assert index.text(index.after(2)) == text
    assert len(index) == len(numbers)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney"])
@pytest.mark.parametrize("frequency", ["h", "15min"])
def test_clocks_that_are_changed_are_recognised(zone, frequency):
    aware = pd.date_range("2024-01-01", "2024-12-31", freq=frequency, tz=zone)
    wall = aware.tz_localize(None).to_numpy().astype("datetime64[us]")
    utc, found = daylight_saving(wall)
    assert found == zone
    np.testing.assert_array_equal(utc, aware.tz_convert(None).to_numpy())
    assert daylight_saving(np.delete(wall, 700)) is None


def test_no_step_is_found_between_uneven_times():
    step, count = steps(np.array([0.0, 1.0, 2.0, 3.4]))
    assert (step, count) == (Step(1.0), None)
