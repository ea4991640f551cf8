"""Rows of a file in time: what is read, what is said of it, and in which words the rest "
"is refused."""

import datetime

import pytest
from cases import refuses

from sinrnn.data import readers


def days(count, first="2024-01-01", form="%Y-%m-%d"):
    """Days one after the other, as text."""
    start = datetime.date.fromisoformat(first)
    return [(start + datetime.timedelta(i)).strftime(form) for i in range(count)]


def file(times, values=None, head="date,v\n"):
    """Lines of a time and a value: 5, 6, 8, 5, 6, 8, ..."""
    values = values or [(5, 6, 8)[i % 3] for i in range(len(times))]
    return head + "".join(f"{time},{value}\n" for time, value in zip(times, values, strict=True))


WEEKDAYS = [d for d in days(20) if datetime.date.fromisoformat(d).weekday() < 5]
HOURS = [f"2024-03-31 {hour:02}:00" for hour in (0, 1, 3, 4, 5)]
AUTUMN = [f"2024-10-27 0{hour}:00" for hour in (0, 1, 2, 2, 3)]
OFFSETS = ["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00"]
MIDNIGHTS = ["2024-03-30T00:00+01:00", "2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"]

# the text of a file, its first time, and the two after its last
TIMES = {
    "days": (file(days(3)), "2024-01-01", ["2024-01-04", "2024-01-05"]),
    "days, no header": (file(days(3), head=""), "2024-01-01", ["2024-01-04", "2024-01-05"]),
    "value first": (
        "v,date\n5,2024-01-01\n6,2024-01-02\n",
        "2024-01-01",
        ["2024-01-03", "2024-01-04"],
    ),
    "weekdays": (file(WEEKDAYS), "2024-01-01", ["2024-01-22", "2024-01-23"]),
    "weeks": (file(days(40)[::7]), "2024-01-01", ["2024-02-12", "2024-02-19"]),
    "months": (file(["2023-11", "2023-12", "2024-01"]), "2023-11-01", ["2024-02-01", "2024-03-01"]),
    "month ends": (
        file(["2024-01-31", "2024-02-29", "2024-03-31"]),
        "2024-01-31",
        ["2024-04-30", "2024-05-31"],
    ),
    "30th of each month": (
        file(["2023-01-30", "2023-02-28", "2023-03-30"]),
        "2023-01-30",
        ["2023-04-30", "2023-05-30"],
    ),
    "last weekdays": (
        file(["2024-02-29", "2024-03-29", "2024-04-30"]),
        "2024-02-29",
        ["2024-05-31", "2024-06-28"],
    ),
    "quarters": (file(["2023Q3", "2023Q4", "2024Q1"]), "2023-07-01", ["2024-04-01", "2024-07-01"]),
    "quarters, Q first": (file(["Q3 2023", "Q4 2023"]), "2023-07-01", ["2024-01-01", "2024-04-01"]),
    "weeks of a year": (file(["2020-W53", "2021-W01"]), "2020-12-28", ["2021-01-11", "2021-01-18"]),
    "years as days": (
        file(["2019-12-31", "2020-12-31", "2021-12-31"]),
        "2019-12-31",
        ["2022-12-31", "2023-12-31"],
    ),
    "years": (file([1998, 1999, 2000], head="year,v\n"), "1998", ["2001", "2002"]),
    "numbers": (file([0, 0.25, 0.5], head="t,v\n"), "0", ["0.75", "1"]),
    "days as one number": (
        file([20231230, 20231231, 20240101]),
        "2023-12-30",
        ["2024-01-02", "2024-01-03"],
    ),
    "months as one number": (
        file([202311, 202312, 202401]),
        "2023-11-01",
        ["2024-02-01", "2024-03-01"],
    ),
    "leap day": (file(days(3, "2024-02-28")), "2024-02-28", ["2024-03-02", "2024-03-03"]),
    "no leap day": (
        file([d for d in days(200, "2023-12-01") if d != "2024-02-29"]),
        "2023-12-01",
        ["2024-06-18", "2024-06-19"],
    ),
    "names of months": (
        file(["Jan 1 2000", "Feb 1 2000"]),
        "2000-01-01",
        ["2000-03-01", "2000-04-01"],
    ),
    "months and years": (file(["Dec-99", "Jan-00"]), "1999-12-01", ["2000-02-01", "2000-03-01"]),
    "a comma after the day": (
        file(['"Jan 1, 2000"', '"Jan 2, 2000"']),
        "2000-01-01",
        ["2000-01-03", "2000-01-04"],
    ),
    "days with points": (
        file(["31.12.2023", "01.01.2024"]),
        "2023-12-31",
        ["2024-01-02", "2024-01-03"],
    ),
    "the day first": (file(days(15, form="%d/%m/%Y")), "2024-01-01", ["2024-01-16", "2024-01-17"]),
    "the month first": (
        file(days(15, form="%m/%d/%Y")),
        "2024-01-01",
        ["2024-01-16", "2024-01-17"],
    ),
    "months, the month first": (
        file([f"{i % 12 + 1}/1/{2020 + i // 12}" for i in range(14)]),
        "2020-01-01",
        ["2021-03-01", "2021-04-01"],
    ),
    "afternoon": (
        file(["1/15/2024 11:30 AM", "1/15/2024 12:00 PM"]),
        "2024-01-15 11:30:00",
        ["2024-01-15 12:30:00", "2024-01-15 13:00:00"],
    ),
    "a zone": (
        file(["2024-01-01T00:00:00Z", "2024-01-01T06:00:00Z"]),
        "2024-01-01 00:00:00+00:00",
        ["2024-01-01 12:00:00+00:00", "2024-01-01 18:00:00+00:00"],
    ),
    "offsets that change": (
        file(OFFSETS),
        "2024-03-31 00:00:00+00:00",
        ["2024-03-31 03:00:00+00:00", "2024-03-31 04:00:00+00:00"],
    ),
    "midnights": (file(MIDNIGHTS), "2024-03-30", ["2024-04-02", "2024-04-03"]),
    "an hour lost in spring": (
        file(HOURS),
        "2024-03-31 00:00:00+01:00",
        ["2024-03-31 06:00:00+02:00", "2024-03-31 07:00:00+02:00"],
    ),
    "an hour twice in autumn": (
        file(AUTUMN),
        "2024-10-27 00:00:00+02:00",
        ["2024-10-27 04:00:00+01:00", "2024-10-27 05:00:00+01:00"],
    ),
    "seconds late": (
        file(["2024-01-01 00:00:01", "2024-01-01 00:10:00", "2024-01-01 00:20:02"]),
        "2024-01-01 00:00:01",
        ["2024-01-01 00:30:01", "2024-01-01 00:40:00"],
    ),
    "a day and a clock": (
        "Day;Clock;v\n16/12/2006;23:00;5\n16/12/2006;23:30;6\n17/12/2006;00:00;8\n",
        "2006-12-16 23:00:00",
        ["2006-12-17 00:30:00", "2006-12-17 01:00:00"],
    ),
    "columns of parts": (
        "Year,Month,Day,Hour,v\n2024,2,28,23,5\n2024,2,29,0,6\n",
        "2024-02-28 23:00:00",
        ["2024-02-29 01:00:00", "2024-02-29 02:00:00"],
    ),
    "a year and the name of a month": (
        "Year,Month,v\n1999,Nov,5\n1999,Dec,6\n2000,Jan,8\n",
        "1999-11-01",
        ["2000-02-01", "2000-03-01"],
    ),
    "a count of the rows beside": ('"","time","v"\n"1",0,5\n"2",0.5,6\n', "0", ["1", "1.5"]),
    "pandas' index": (",v\n0,5\n1,9\n2,7\n", "0", ["3", "4"]),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_are_read_and_go_on(tmp_path, case):
    text, first, after = TIMES[case]
    (tmp_path / "a.csv").write_text(text)
    index = readers.read(tmp_path / "a.csv").index
    assert index.text(index.values[:1]) == [first]
    assert index.text(index.after(2)) == after


SECOND = days(4)[:2] + days(4)[3:]
LATE = ["2024-01-01 00:00", "2024-01-01 00:05", "2024-01-01 00:10", "2024-01-01 00:17"]
EVENTS = ["times follow daylight saving time as in Europe/Berlin"]

# the text, the options, the values, the notes
NOTED = {
    "newest first": (
        file(days(4)[::-1]),
        {},
        [5, 8, 6, 5],
        ["the newest row comes first: the order is reversed"],
    ),
    "years of 365 days": (
        file(["2024-02-27", "2024-02-28", "2024-03-01", "2024-03-02"]),
        {},
        [5, 6, 8, 5],
        ["no row is of a 29 February: years have 365 days"],
    ),
    "daylight saving": (file(HOURS), {}, [5, 6, 8, 5, 6], EVENTS),
    "gap filled": (
        file(SECOND),
        {"gaps": "fill"},
        [5, 6, 7, 8],
        [
            "values interpolated: 1 of 4: 2024-01-04 comes 2 days after 2024-01-02, but the step "
            "is 1 day, the only gap (1 missing in all)"
        ],
    ),
    "gap ignored": (
        file(SECOND),
        {"gaps": "ignore"},
        [5, 6, 8],
        [
            "gaps are ignored: 2024-01-04 comes 2 days after 2024-01-02, but the step is 1 day, "
            "the only gap (1 missing in all)"
        ],
    ),
    "uneven steps filled": (
        file(LATE, [0, 5, 10, 17]),
        {"gaps": "fill"},
        [0, 5, 10, 15],
        [
            "values interpolated: 1 of 4: 2024-01-01 00:17 comes 7 minutes after 2024-01-01 00:10, "
            "but the step is 5 minutes, the only uneven step"
        ],
    ),
    "value filled": (
        file(days(4), [5, "NA", "", 8]),
        {"gaps": "fill"},
        [5, 6, 7, 8],
        ["values interpolated: 2 of 4"],
    ),
    "value filled, no time": (
        "v\n5\n?\n8\n",
        {"gaps": "fill"},
        [5, 6.5, 8],
        ["values interpolated: 1 of 3"],
    ),
    "ends without a value": (
        file(days(5), ["NA", 5, 6, 8, "NA"]),
        {"gaps": "fill"},
        [5, 6, 8],
        ["rows without a value at the ends: 2 skipped"],
    ),
    "a title": (
        f"Sales of us all\n\n{file(days(3))}",
        {},
        [5, 6, 8],
        ["rows up to 2 are not part of the table ('Sales of us all'): skipped"],
    ),
    "units": (
        f"date,v\nday,m3/s\n{file(days(3), head='')}",
        {},
        [5, 6, 8],
        ["row 2 holds units (day, m3/s): skipped"],
    ),
    "units in brackets": ("v\n[m]\n5\n6\n", {}, [5, 6], ["row 2 holds units ([m]): skipped"]),
    "a code for no value": (
        file(days(6), [5, 6, -999, 7, 8, -999]),
        {},
        [5, 6, -999, 7, 8, -999],
        [
            "-999 occurs in 2 rows, first in row 4, far from all other values: if it marks missing "
            "values, clear those cells"
        ],
    ),
    "a total": (
        file(days(5), [5, 6, 7, 8, 26]),
        {},
        [5, 6, 7, 8, 26],
        ["the last row is the sum of all others (26): if it is a total, remove it"],
    ),
    "no code": (file(days(6), [0, 0, 1, 0, 0, 1]), {}, [0, 0, 1, 0, 0, 1], []),
    "one outlier": (file(days(6), [5, 6, 99, 7, 8, 5]), {}, [5, 6, 99, 7, 8, 5], []),
    "comments": (f"# of us\n{file(days(2))}# a pause\n2024-01-03,8\n", {}, [5, 6, 8], []),
    "Excel's line": ("sep=;\nd;v\n2024-01-01;1,5\n2024-01-02;2\n", {}, [1.5, 2], []),
    "empty rows of a spreadsheet": ("t;v\n0;5\n1;6\n;\n;\n", {}, [5, 6], []),
    "a separator at the end": ("t,v,\n0,5,\n1,6,\n", {}, [5, 6], []),
    "spaces": ("  1.5   2.5\n 2.25   4\n", {"column": 1}, [2.5, 4], []),
    "one of several": (
        "who,date,v\nA,2024-01-01,5\nA,2024-01-02,6\nB,2024-01-01,8\n",
        {"where": "who=A"},
        [5, 6],
        [],
    ),
    "no time": (file([*days(2), *days(2)]), {"time": "none"}, [5, 6, 8, 5], []),
    "time that is named": (
        file([2, 4, 6], head="lap,v\n"),
        {"time": "lap", "column": "v"},
        [5, 6, 8],
        [],
    ),
    "rows on top": ("a,b,c\nd\nt,v\n0,5\n1,6\n", {"skip_rows": 2}, [5, 6], []),
    "a separator that is said": (
        "a;b,c\n1;5,5\n2;6,5\n",
        {"separator": ";", "column": 1},
        [5.5, 6.5],
        [],
    ),
    "thousands and decimals": ("t;v\n0;1.234,5\n1;987\n", {}, [1234.5, 987], []),
    "thousands twice": ("t;v\n0;1.234.567\n1;987.000\n", {}, [1234567, 987000], []),
    "thousands in quotes": ('t,v\n0,"1,234.5"\n1,"2,000"\n', {}, [1234.5, 2000], []),
    "thousands by spaces": ("t;v\n0;1 234,5\n1;987\n", {}, [1234.5, 987], []),
    "thousands that are said": ("t;v\n0;1.004\n1;987\n", {"thousands": "."}, [1004, 987], []),
    "decimals that are said": ("t;v\n0;1.004\n1;987\n", {"decimal": "."}, [1.004, 987], []),
    "one decimal comma": ("1,5\n2,25\n", {"decimal": ","}, [1.5, 2.25], []),
    "decimals beside": ("t;v\n0;1.004\n1;0.987\n", {}, [1.004, 0.987], []),
}


@pytest.mark.parametrize("case", NOTED)
def test_rows_are_read_and_what_was_done_is_said(tmp_path, case):
    text, options, values, notes = NOTED[case]
    (tmp_path / "a.csv").write_text(text)
    found = readers.read(tmp_path / "a.csv", **options)
    assert found.values.tolist() == values
    assert found.notes == notes


WAYS = "interpolate with --data.series.gaps fill, or ignore them with --data.series.gaps ignore"
ORDER = "sort the rows, one for each time, or ignore the times with --data.series.time none"
ONE = "if the file mixes several series, choose one, for example with --data.series.where"
MIXED = "must not mix decimal points and decimal commas"
STACKED = "A,2024-01-01,10\nA,2024-01-02,11\nB,2024-01-01,210\n"

# the text, the options, what is said after the path
REFUSED = {
    "gap": (
        "2024-01-01,10\n2024-01-02,12\n2024-03-01,11\n",
        {},
        ", row 3: 2024-03-01 comes 59 days after 2024-01-02, but the step is 1 day, the only gap "
        f"(58 missing in all): {WAYS}",
    ),
    "gaps": (
        file([*days(3), *days(3, "2024-01-05"), *days(2, "2024-01-10")]),
        {},
        ", row 5: 2024-01-05 comes 2 days after 2024-01-03, but the step is 1 day, the "
        "first of 2 "
        f"gaps (3 missing in all): {WAYS}",
    ),
    "holiday": (
        file([d for d in WEEKDAYS if d != "2024-01-10"]),
        {},
        ", row 9: 2024-01-11 comes 2 days after 2024-01-09, but the step is 1 weekday, the only "
        f"gap (1 missing in all): {WAYS}",
    ),
    "month": (
        file(["2023-11-01", "2023-12-01", "2024-02-01", "2024-03-01"]),
        {},
        ", row 4: 2024-02-01 comes 62 days after 2023-12-01, but the step is 1 month, "
        "the only gap "
        f"(1 missing in all): {WAYS}",
    ),
    "year": (
        file([1990, 1991, 1993, 1994], head="year,v\n"),
        {},
        f", row 4: 1993 comes 2 after 1991, but the step is 1, the only gap (1 missing in "
        f"all): {WAYS}",
    ),
    "uneven": (
        file(LATE),
        {},
        ", row 5: 2024-01-01 00:17 comes 7 minutes after 2024-01-01 00:10, but the step is 5 "
        f"minutes, the only uneven step: {WAYS}",
    ),
    "more gaps than values": (
        file([*days(2), "2025-01-01"]),
        {"gaps": "fill"},
        ": filling the gaps would turn 3 values into 367: ignore the gaps, or use a part of the "
        "series",
    ),
    "back": (
        file(["2024-01-01", "2024-01-03", "2024-01-02"]),
        {},
        f", row 4: the time goes from 2024-01-03 to 2024-01-02: {ORDER}",
    ),
    "back, newest first": (
        file(["2024-01-04", "2024-01-02", "2024-01-03", "2024-01-01"]),
        {},
        f", row 4: the time goes from 2024-01-02 to 2024-01-03: {ORDER}",
    ),
    "twice": (
        file([*days(2), *days(1, "2024-01-02")]),
        {},
        f", row 4: the time 2024-01-02 occurs twice: {ORDER}",
    ),
    "stacked": (STACKED, {}, f", row 3: the time goes from 2024-01-02 to 2024-01-01: {ONE} 0=A"),
    "interleaved": (
        "d,who,v\n2024-01-01,A,1\n2024-01-01,B,2\n2024-01-02,A,1\n2024-01-02,B,3\n",
        {},
        f", row 3: the time 2024-01-01 occurs twice: {ONE} who=A",
    ),
    "where, no such": (STACKED, {"where": "0=C"}, ": no row has 0=C, column 0 holds A, B"),
    "a total": (
        f"{file(days(3))}Total,19\n",
        {},
        ", row 5, column 'date': must be a time like those above or 2000-12-31, got "
        "'Total': correct "
        "it, or remove the row",
    ),
    "day or month": (
        file(["1/1/2024", "2/1/2024", "3/1/2024"]),
        {},
        ", row 2, column 'date': '1/1/2024' may start with the day or the month: write times as "
        "2000-12-31",
    ),
    "two times": (
        "a,b,v\n2024-01-01,2024-01-02,5\n2024-01-02,2024-01-03,6\n",
        {},
        " has 2 columns of times: choose one with --data.series.time: 0 (a), 1 (b), 2 (v)",
    ),
    "words": (
        "day v\n2024-01-01 5\n2024-01-02 6\n",
        {},
        ", row 2, column 'day v': must be a finite number like -1.5e3, got '2024-01-01 5'; or set "
        "the separator (--data.series.separator)",
    ),
    "rows that are series": (
        "V1,V2,V3,V4\nA,5,6,8\nB,1,1,2\n",
        {},
        " has 3 columns of numbers and 2 rows (transpose it if each row is a series): choose one "
        "with --data.series.column: 1 (V2), 2 (V3), 3 (V4)",
    ),
    "laps": (
        "lap,time\n1,8\n2,9\n3,7\n",
        {},
        " has 2 columns of numbers: choose one with --data.series.column: 0 (lap), 1 (time)",
    ),
    "thousands or decimals": (
        "t;v\n0;1.004\n1;987\n2;1.102\n",
        {},
        ", row 2, column 'v': '1.004' may have decimals or thousands: set "
        "--data.series.decimal . or --data.series.thousands .",
    ),
    "groups of four": (
        "t;v\n0;1.234,5\n1;1.2345,5\n",
        {},
        ", row 3, column 'v': must be a finite number like -1.5e3, got '1.2345,5'",
    ),
    "points and commas": ("t;v\n0;1,5\n1;2.5\n", {}, f", row 3, column 'v': {MIXED}, got '2.5'"),
    "a long row on top": (
        "a,b,1\nt,v\n0,5\n1,6\n",
        {},
        ", row 1 has 3 cells and others have 2, separated by ',': give all rows the same number, "
        "set the separator (--data.series.separator), or skip the first rows "
        "(--data.series.skip_rows)",
    ),
    "missing, though gaps are ignored": (
        file(days(3), [5, "NA", 8]),
        {"gaps": "ignore"},
        ", row 3, column 'v': the value is missing, got 'NA' (1 in all): fill it in, or "
        "interpolate with --data.series.gaps fill",
    ),
    "an encoding that is none": (
        "v\n5\n6\n",
        {"encoding": "utf8000"},
        " cannot be read as utf8000 text (unknown encoding: utf8000): give its encoding, often "
        "cp1252, with --data.series.encoding",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_are_refused_with_the_cure(tmp_path, case):
    text, options, said = REFUSED[case]
    path = tmp_path / "a.csv"
    path.write_text(text)
    with refuses(ValueError, f"{path}{said}"):
        readers.read(path, **options)


def test_row_is_the_line_of_the_file(tmp_path):
    """Whatever stands above it, and however many lines a cell has."""
    path = tmp_path / "a.csv"
    path.write_text('# a\n\nTitle\ndate,v,note\n2024-01-01,5,"two\nlines"\n# b\n2024-01-02,x,c\n')
    with pytest.raises(ValueError, match=r"row 8, column 'v': must be a finite number"):
        readers.read(path)


def test_gaps_that_are_ignored_leave_the_step_for_what_comes(tmp_path):
    (tmp_path / "a.csv").write_text(file(SECOND))
    index = readers.read(tmp_path / "a.csv", gaps="ignore").index
    assert index.text(index.after(1)) == ["2024-01-05"]
    (tmp_path / "a.csv").write_text(file(LATE))
    assert readers.read(tmp_path / "a.csv", gaps="ignore").index.after(1) is None
