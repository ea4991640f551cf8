"""Files as people have them: what is read, and in which words the rest is refused."""

import gzip
import io
import re
import sys

import numpy as np
import pandas as pd
import programs
import pytest
import torch
from cases import BITS, refuses

from sinrnn.data import readers


def read(path, column=None, **options):
    """The values alone."""
    return readers.read(path, column, **options).values


def given(folder, name, content):
    """A file with this text or these bytes, compressed where its name says so."""
    data = content.encode() if isinstance(content, str) else content
    path = folder / name
    path.write_bytes(gzip.compress(data) if isinstance(content, str) and ".gz" in name else data)
    return path


def npy(values, **options):
    """The bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, np.asarray(values), **options)
    return file.getvalue()


# name of the file, its text or bytes, the column asked for, the values
GOOD = {
    "no header": ("a.csv", "5\n6\n8\n", None, [5, 6, 8]),
    "no newline at the end": ("a.csv", "5\n6\n8", None, [5, 6, 8]),
    "newlines at the end": ("a.csv", "5\n6\n8\n\n \n\n", None, [5, 6, 8]),
    "header": ("a.csv", "wave\n5\n6\n", None, [5, 6]),
    "header that is named": ("a.csv", "wave\n5\n6\n", "wave", [5, 6]),
    "header in quotes, with a comma": ("a.csv", '"t","a,b"\n0,5\n1,6\n', "a,b", [5, 6]),
    "header without letters, by name": ("a.csv", "t,%\n0,5\n1,6\n", "%", [5, 6]),
    "header without letters, alone": ("a.csv", "%\n5\n6\n", "%", [5, 6]),
    "separators in quotes": ("a.csv", '"a;b",wave\n"x;y",5\n"z;w",6\n', None, [5, 6]),
    "other separator in a name": ("a.csv", "a;b,wave\n3,5\n0,6\n", "wave", [5, 6]),
    "space beside": ("a.csv", "x,wave\n ,5\n1,6\n", "wave", [5, 6]),
    "header of numbers, by name": ("a.csv", "t,2020,2021\n0,5,7\n1,6,8\n", "2021", [7, 8]),
    "header over lines": ("a.csv", '"wave\nheight"\n5\n6\n', None, [5, 6]),
    "windows": ("a.csv", "t,wave\r\n0,5\r\n1,6\r\n", None, [5, 6]),
    "old mac": ("a.csv", "wave\r5\r6\r", None, [5, 6]),
    "byte order mark": ("a.csv", b"\xef\xbb\xbfwave\n5\n6\n", "wave", [5, 6]),
    "UTF-16, as it is marked": ("a.csv", "wave\n5\n6\n".encode("utf-16"), None, [5, 6]),
    "byte order mark, no header": ("a.csv", b"\xef\xbb\xbf5\n6\n", None, [5, 6]),
    "not ascii": ("a.csv", "höhe\n5\n6\n", "höhe", [5, 6]),
    "spaces": ("a.csv", "t, wave \n 0, 5 \n 1, 6\n", "wave", [5, 6]),
    "signs and exponents": ("a.csv", "-5e-1\n+6E2\n.5\n7.\n", None, [-0.5, 600, 0.5, 7]),
    "integers beyond 64 bits": ("a.csv", "5\n99999999999999999999\n", None, [5, 1e20]),
    "all digits": ("a.csv", "0.1\n0.30000000000000004\n", None, [0.1, 0.1 + 0.2]),
    "quotes": ("a.csv", '"t","wave"\n"0","5"\n"1","6"\n', None, [5, 6]),
    "quoted numbers, no header": ("a.csv", '"0","5"\n"1","9"\n"2","6"\n', None, [5, 9, 6]),
    "tab": ("a.tsv", "t\twave\n0\t5.5\n1\t6\n", None, [5.5, 6]),
    "tab, comma in a name": ("a.tsv", "t\tx, y\n0\t5\n1\t6\n", None, [5, 6]),
    "tab and comma in both": ("a.tsv", "5\t1,5\n6\t2,5\n", 0, [5, 6]),
    "semicolon": ("a.csv", "t;wave\n0;5\n1;6\n", None, [5, 6]),
    "decimal comma": ("a.csv", "t;wave\n0;5,5\n1;-,25\n2;7\n", None, [5.5, -0.25, 7]),
    "decimal comma, no header": ("a.txt", "0,5;1,5\n1,0;9,5\n1,5;2,5\n", None, [1.5, 9.5, 2.5]),
    "decimal comma, dates": ("a.txt", "01.02.20;5,5\n02.02.20;6,5\n", None, [5.5, 6.5]),
    "points between semicolons": ("a.csv", "t;wave\n0;5.5\n1;6\n", None, [5.5, 6]),
    "gzip": ("a.csv.gz", "t,wave\n0,5\n1,6\n", None, [5, 6]),
    "gzip, other endings": ("A.TSV.GZ", gzip.compress(b"t\twave\n0\t5\n1\t6\n"), None, [5, 6]),
    "capital ending": ("A.CSV", "5\n6\n", None, [5, 6]),
    "by index": ("a.csv", "a,b,c\n0,5,1\n4,6,2\n", 1, [5, 6]),
    "by index as text": ("a.csv", "a,b,c\n0,5,1\n4,6,2\n", "2", [1, 2]),
    "by name": ("a.csv", "a,b,c\n0,5,1\n4,6,2\n", "c", [1, 2]),
    "comma between tabs": ("a.tsv", "t\twave\n0\t1,5\n1\t2,5\n", None, [1.5, 2.5]),
    "comma in quotes": ("a.csv", '"1,5"\n2\n', None, [1.5, 2]),
    "index, no header": ("a.csv", "3,5\n4,6\n5,6\n", 1, [5, 6, 6]),
    "one of two of a name, by index": ("a.csv", "x,x\n0,5\n4,6\n", 1, [5, 6]),
    "dates": ("a.csv", "Date,wave\n2020-01-01,5\n2020-01-02,6\n", None, [5, 6]),
    "dates, no header": ("a.csv", "2020-01-01,5\n2020-01-02,6\n", None, [5, 6]),
    "labels, no header": ("a.csv", "low,5\nhigh,6\n", None, [5, 6]),
    "text beside": ("a.csv", "t,wave,note\n0,5,ok\n1,6,\n", None, [5, 6]),
    "gaps beside": ("a.csv", "t,wave,x\n0,5,1\n1,6,\n2,7,nan\n", "wave", [5, 6, 7]),
    "time last": ("a.csv", "wave,YEAR\n5,0\n9,1\n6,2\n", None, [5, 9, 6]),
    "even steps are time": ("a.csv", "x,y\n0,5\n0.1,6\n0.2,7\n0.3,9\n", None, [5, 6, 7, 9]),
    "even steps, no header": ("a.csv", "0.0,5\n0.5,9\n1.0,7\n", None, [5, 9, 7]),
    "unnamed index": ("a.csv", ",wave\n0,5\n1,6\n2,9\n", None, [5, 6, 9]),
    "space is no separator": ("a.csv", "my wave\n5\n6\n", "my wave", [5, 6]),
    **{
        f"time by its name, {name}": ("a.csv", f"{name},wave\n3,5\n4,6\n5,8\n", None, [5, 6, 8])
        for name in ("t", "Time", "DATE", "year", "index")
    },
    "npy": ("a.npy", npy([5.0, 6.0]), None, [5, 6]),
    "npy, one column": ("a.npy", npy([[5.0], [6.0]]), None, [5, 6]),
    "npy, index of one column": ("a.npy", npy([5.0, 6.0]), "0", [5, 6]),
    "npy, a column": ("a.npy", npy([[0.0, 5.0], [1.0, 6.0]]), 1, [5, 6]),
    "npy, Fortran's order": ("a.npy", npy(np.array([[0.0, 5], [1, 6]], order="F")), 1, [5, 6]),
    "npy, small integers": ("a.npy", npy(np.array([5, -6], np.int8)), None, [5, -6]),
    "npy, large integers": ("a.npy", npy(np.array([5, 2**63], np.uint64)), None, [5, 2.0**63]),
    "npy, half precision": ("a.npy", npy(np.array([5, 0.5], np.float16)), None, [5, 0.5]),
    "npy, other byte order": ("a.npy", npy(np.array([5, 6], ">f4")), None, [5, 6]),
}


@pytest.mark.parametrize("case", GOOD)
def test_file_is_read_as(tmp_path, case):
    name, content, column, values = GOOD[case]
    found = read(given(tmp_path, name, content), column)
    torch.testing.assert_close(found, torch.tensor(values, dtype=torch.float64), **BITS)


def missing(cell, count=1):
    """What is said of a cell without a value."""
    cure = "fill it in, or interpolate with --data.series.gaps fill"
    return f"the value is missing, got {cell!r} ({count} in all): {cure}"


NUMBER = "must be a finite number like -1.5e3"
MIXED = "must not mix decimal points and decimal commas"

# text of the file, row, column, what is said of that cell
CELLS = {
    "missing": ("t,wave\n0,5\n1,\n", 3, "'wave'", missing("")),
    "missing in quotes": ('5\n""\n6\n', 2, 0, missing("")),
    "missing first": ("2020-01-01,\n2020-01-02,5\n", 1, 1, missing("")),
    "NA": ("wave\n5\nNA\n", 3, "'wave'", missing("NA")),
    "NA first": ("NA\n5\n6\n", 1, 0, missing("NA")),
    "nan": ("wave\n5\nNaN\n", 3, "'wave'", missing("NaN")),
    "nan first": ("nan\n5\n6\n", 1, 0, missing("nan")),
    "null": ("5\n6\n null\n", 3, 0, missing(" null")),
    "text": ("wave\n5\nhigh\n", 3, "'wave'", f"{NUMBER}, got 'high'"),
    "text under a number": ("low,5\nhigh,x\nlow,6\n", 2, 1, f"{NUMBER}, got 'x'"),
    "spaces around a name": ("t, wave \n0,5\n1,x\n", 3, "'wave'", f"{NUMBER}, got 'x'"),
    "text alone": ("wave\nhigh\nlow\n", 2, "'wave'", f"{NUMBER}, got 'high'"),
    "long text": (f"5\n{'x' * 99}\n", 2, 0, f"{NUMBER}, got '{'x' * 40}'"),
    "after a number over lines": (
        '"wa\nve"\n"5"\n"\n6"\nx\n',
        6,
        "'wave'",
        f"{NUMBER}, got 'x'",
    ),
    "inf": ("t,wave\n0,5\n1,-inf\n", 3, "'wave'", f"{NUMBER}, got '-inf'"),
    "inf first": ("inf\n5\n6\n", 1, 0, f"{NUMBER}, got 'inf'"),
    "overflow": ("5\n1e400\n", 2, 0, f"{NUMBER}, got '1e400'"),
    "Python's digits": ("5\n1_000\n", 2, 0, f"{NUMBER}, got '1_000'"),
    "points and commas": ("t;wave\n0;1,5\n1;2\n2;2.5\n", 4, "'wave'", f"{MIXED}, got '2.5'"),
}


@pytest.mark.parametrize("case", CELLS)
def test_cell_is_refused_by_row_and_column(tmp_path, case):
    text, row, column, message = CELLS[case]
    path = given(tmp_path, "a.csv", text)
    with refuses(ValueError, f"{path}, row {row}, column {column}: {message}"):
        read(path)


AS_MANY = (
    "give all rows the same number, set the separator (--data.series.separator), or skip the first "
    "rows (--data.series.skip_rows)"
)
QUOTE = "may separate columns: set --data.series.separator"
COMMA = (
    "may be two columns or have a decimal comma: set --data.series.separator , or "
    "--data.series.decimal ,"
)

# text of the file, the row, what is said of it
ROWS = {
    "blank": ("t,wave\n0,5\n\n1,6\n", 3, " is blank: fill it in, or remove it"),
    "blank twice": (
        "t,wave\n0,5\n \n\n1,6\n",
        3,
        f" has 1 cells and others have 2, separated by ',': {AS_MANY}",
    ),
    "long": (
        "t;v\n0;5\n1;6;7\n",
        3,
        f" has 3 cells and others have 2, separated by ';': {AS_MANY}",
    ),
    "short": (
        "t\tv\n0\n1\t6\n",
        2,
        rf" has 1 cells and others have 2, separated by '\t': {AS_MANY}",
    ),
    "one decimal comma": (
        "1,5\n2\n3\n",
        1,
        f" has 2 cells and others have 1, separated by ',': {AS_MANY}",
    ),
    "comma, header": ("v\n1,5\n2,5\n", 2, f": '1,5' {COMMA}"),
    "decimal commas": ("1,5\n2,5\n3,5\n", 1, f": '1,5' {COMMA}"),
    "decimal commas, once": ("1,5", 1, f": '1,5' {COMMA}"),
    "decimal commas, signs": (" -1,5E-3\r\n +,25\r\n", 1, f": '-1,5E-3' {COMMA}"),
    "two separators": ("city;zip,v\nA;12,5\nB;13,6\n", 1, f": ';' or ',' {QUOTE}"),
    "tab or comma": ("x\tzip,v\nA\t12,5\nB\t13,6\n", 1, rf": '\t' or ',' {QUOTE}"),
    "tab or semicolon": ("a;b\tc\n1;2\t5\n", 1, rf": '\t' or ';' {QUOTE}"),
    "open quote": ('v\n"5\n6\n', 3, ": unexpected end of data: check the quotes"),
    "quote in a cell": ('v\n5\n"6"6\n', 3, ": ',' expected after '\"': check the quotes"),
    "endless": ("x" * 200_000, 1, ": field larger than field limit (131072): check the quotes"),
}


@pytest.mark.parametrize("case", ROWS)
def test_row_is_refused(tmp_path, case):
    text, row, message = ROWS[case]
    path = given(tmp_path, "a.csv", text)
    with refuses(ValueError, f"{path}, row {row}{message}"):
        read(path)


TWO = "0 (a), 1 (b)"
CHOOSE = "choose one with --data.series.column:"
HAS_2, HAS_3 = (f" has {count} columns of numbers: {CHOOSE}" for count in (2, 3))
SAY = "set header (--data.series.header true or false)"

# text of the file, the column asked for, what is said
COLUMNS = {
    "no such name": ("a,b\n0,5\n1,6\n", "c", f" has no column 'c': {CHOOSE} {TWO}"),
    "other case": ("a,b\n0,5\n1,6\n", "B", f" has no column 'B' (did you mean b?): {CHOOSE} {TWO}"),
    "no such index": ("a,b\n0,5\n1,6\n", 2, f" has no column 2: {CHOOSE} {TWO}"),
    "negative index": ("a,b\n0,5\n1,6\n", -1, f" has no column -1: {CHOOSE} {TWO}"),
    "name, no header": ("0,5.5\n1,6\n", "b", f" has no column 'b': {CHOOSE} 0, 1"),
    "name, one column": ("a\n5\n6\n", "b", f" has no column 'b': {CHOOSE} 0 (a)"),
    "twice": ("a,b,b\n0,5,1\n1,6,1\n", "b", f" has 2 columns 'b': {CHOOSE} {TWO}, 2 (b)"),
    "name or index": ("a,0\n0,5\n1,6\n", "0", f" has 2 columns '0': {CHOOSE} 0 (a), 1 (0)"),
    "two": ("a,b\n3,5\n0,6\n9,7\n", None, f"{HAS_2} {TWO}"),
    "two rows": ("a,b\n0,5\n1,6\n", None, f"{HAS_2} {TWO}"),
    "uneven": ("a,b\n0,5\n1,6\n2.00001,7\n", None, f"{HAS_2} {TWO}"),
    "falling": ("a,b\n2,5\n1,6\n0,7\n", None, f"{HAS_2} {TWO}"),
    "constant": ("a,b\n2,5\n2,6\n2,7\n", None, f"{HAS_2} {TWO}"),
    "gap": ("a,b\n0,5\n1,6\n,7\n3,8\n", None, f"{HAS_2} {TWO}"),
    "gap first": ("a,b,c\nx,5,\ny,6,2\n", None, f"{HAS_2} 1 (b), 2 (c)"),
    "even last": ("a,b\n5,0\n9,1\n6,2\n", None, f"{HAS_2} {TWO}"),
    "even second": ("a,b,c\nx,0,5\ny,1,9\nz,2,6\n", None, f"{HAS_2} 1 (b), 2 (c)"),
    "even and time": ("lap,time\n1,8\n2,9\n3,7\n", None, f"{HAS_2} 0 (lap), 1 (time)"),
    "time, two more": ("t,a,b\n0,5,1\n1,6,2\n", None, f"{HAS_2} 1 (a), 2 (b)"),
    "even, two more": ("0.5,5,1\n1.5,6,2\n2.5,7,3\n", None, f"{HAS_3} 0, 1, 2"),
    "time alone": (
        "t,price\n0,$5\n1,$6\n",
        None,
        " has no column of numbers: column 't' has '0' in row 2, column 'price' has '$5' in row 2: "
        "write numbers like 5.25",
    ),
    "a column for each time": (
        "country,1990,1991,1992\nA,5,6,8\nB,1,1,2\n",
        None,
        " has a column for each time (1990 to 1992) and a row for each series: transpose it, so "
        "that each row is a time",
    ),
    "text alone": (
        "a,b\nx,y\nz,w\n",
        None,
        " has no column of numbers: column 'a' has 'x' in row 2, column 'b' has 'y' in row "
        "2: write "
        "numbers like 5.25",
    ),
    "many": (
        ",".join(["5.5"] * 21),
        None,
        " has 21 columns of numbers and 1 row (transpose it if each row is a series): "
        f"{CHOOSE} {', '.join(map(str, range(20)))}, ...",
    ),
    **{
        f"number as a name, {case}": (
            text,
            column,
            f", row 1: {first!r} may be names or values: {SAY}",
        )
        for case, (text, column, first) in {
            "time first": ("t,1\n0,5\n1,6\n", None, "t,1"),
            "time last": ("1,t\n5,0\n6,1\n", None, "1,t"),
            "a unit": ("5%\n6\n7\n", None, "5%"),
            "a name": ("2020 sales\n6\n7\n", None, "2020 sales"),
            "dates": ("Date,7\n2020-01,5\n2020-02,6\n", "1", "Date,7"),
        }.items()
    },
    "decimal comma, index": ("1,5\n2,5\n", 0, f", row 1: '1,5' {COMMA}"),
    "decimal comma, index as text": ("1,5\n2,5\n", "0", f", row 1: '1,5' {COMMA}"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_column_is_refused_with_those_there_are(tmp_path, case):
    text, column, message = COLUMNS[case]
    path = given(tmp_path, "a.csv", text)
    with refuses(ValueError, f"{path}{message}"):
        read(path, column)


ENDINGS = ".csv .csv.gz .tsv .tsv.gz .txt .txt.gz .npy .parquet"
DECODE = "cannot be read as gzip, write it again:"
BYTE = "cannot be read as UTF-8 text ('utf-8' codec can't decode byte"
ENCODING = "give its encoding, often cp1252, with --data.series.encoding"
REAL = "must hold real numbers (points,) or (points, columns), got"
NPY = "cannot be read as .npy, write it again:"
SHORT = "mmap length is greater than file size"
FINITE = "(counted from 0): must be finite, got"

# name of the file, its text or bytes, the column asked for, what is said
BAD = {
    "empty": ("a.csv", "", None, " is empty"),
    "empty npy": ("a.npy", b"", None, " is empty"),
    "empty in gzip": ("a.csv.gz", "", None, " is empty"),
    "only a mark": ("a.csv", b"\xef\xbb\xbf", None, " is empty"),
    "only blank": ("a.csv", "\n\n", None, " is empty"),
    "only a header": ("a.csv", "wave\n", None, " must hold at least 2 points, got 0"),
    "only names": ("a.csv", "x,wave\n", None, " must hold at least 2 points, got 0"),
    "one point": ("a.csv", "t,wave\n0,5\n", None, " must hold at least 2 points, got 1"),
    "other ending": ("a.xlsx", "5\n6\n", None, f" must end in one of {ENDINGS}"),
    "no ending": ("csv", "5\n6\n", None, f" must end in one of {ENDINGS}"),
    "npy in gzip": ("a.npy.gz", b"5", None, f" must end in one of {ENDINGS}"),
    "latin-1": (
        "a.csv",
        b"h\xf6he\n5\n",
        None,
        f" {BYTE} 0xf6 in position 1: invalid start byte): {ENCODING}",
    ),
    "no gzip": ("a.csv.gz", b"5\n6\n", None, rf" {DECODE} Not a gzipped file (b'5\n')"),
    "half a gzip": (
        "a.csv.gz",
        gzip.compress(b"5\n6\n" * 999)[:-12],
        None,
        f" {DECODE} Compressed file ended before the end-of-stream marker was reached",
    ),
    "broken gzip": (
        "a.csv.gz",
        gzip.compress(b"5\n")[:10] + bytes([255] * 20),
        None,
        f" {DECODE} Error -3 while decompressing data: invalid block type",
    ),
    "npy, nan": ("a.npy", npy([5.0, 6.0, np.nan, np.inf]), None, f", row 2 {FINITE} nan"),
    "npy, inf": ("a.npy", npy(np.array([5, -np.inf], np.float32)), 0, f", row 1 {FINITE} -inf"),
    "npy, no point": ("a.npy", npy(np.zeros(0)), None, " must hold at least 2 points, got 0"),
    "npy, columns": ("a.npy", npy(np.zeros((4, 3))), None, f" has 3 columns: {CHOOSE} 0, 1, 2"),
    "npy, no such": ("a.npy", npy(np.zeros((4, 2))), 2, f" has no column 2: {CHOOSE} 0, 1"),
    "npy, name": ("a.npy", npy(np.zeros(4)), "v", f" has no column 'v': {CHOOSE} 0"),
    "npy, 0-D": ("a.npy", npy(5.0), None, f" {REAL} float64 ()"),
    "npy, 3-D": ("a.npy", npy(np.zeros((4, 3, 2))), None, f" {REAL} float64 (4, 3, 2)"),
    "npy, complex": ("a.npy", npy([5.0, 6j]), None, f" {REAL} complex128 (2,)"),
    "npy, bool": ("a.npy", npy([True, False]), None, f" {REAL} bool (2,)"),
    "npy, date": ("a.npy", npy(np.array(["2020"], "M8[D]")), None, f" {REAL} datetime64[D] (1,)"),
    "npy, text": ("a.npy", npy(["a", "b"]), None, f" {REAL} <U1 (2,)"),
    "npy, object": (
        "a.npy",
        npy(np.array([5.0, {}]), allow_pickle=True),
        None,
        f" {NPY} Array can't be memory-mapped: Python objects in dtype.",
    ),
    "npy, cut off": ("a.npy", npy([5.0, 6.0])[:-8], None, f" {NPY} {SHORT}"),
    "no npy": ("a.npy", "wave", None, f" {NPY} EOF: reading magic string, expected 8 bytes got 4"),
}


@pytest.mark.parametrize("case", BAD)
def test_file_is_refused(tmp_path, case):
    name, content, column, message = BAD[case]
    path = given(tmp_path, name, content)
    with refuses(ValueError, f"{path}{message}"):
        read(path, column)


def refused_in_one_sentence(path):
    """What is said of a file that cannot be read."""
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path} ")


@pytest.mark.parametrize("seed", range(30))
def test_npy_with_a_wrong_byte_is_read_or_refused_in_one_sentence(tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(npy(np.arange(9.0)))
    data[rng.integers(8, 80)] = rng.integers(32, 127)
    path = given(tmp_path, "a.npy", bytes(data))
    try:
        read(path)
    except ValueError:
        refused_in_one_sentence(path)


def test_npy_of_many_fields_is_refused_in_one_sentence(tmp_path):
    path = given(tmp_path, "a.npy", npy(np.zeros(2, [(f"x{j}", "f8") for j in range(999)])))
    said = refused_in_one_sentence(path)
    assert said.startswith(NPY)
    assert "large and may not be safe" in said


@pytest.mark.parametrize("name", ["a.csv", "a.npy", "a.parquet"])
def test_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch, name):
    path = given(tmp_path, name, "5\n6\n")

    def no(self, *args, **options):  # whoever runs the tests may be root, who may read all
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "open", no)
    with refuses(PermissionError, f"[Errno 13] Permission denied: '{path}'"):
        read(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(900,), (900, 1), (900, 2)])
def test_large_npy_is_mapped_and_never_written(tmp_path, monkeypatch, dtype, shape):
    maps, open_memmap = [], np.lib.format.open_memmap

    def opened(*args, **options):
        maps.append(open_memmap(*args, **options))
        return maps[-1]

    monkeypatch.setattr(readers, "COPIED", 100)
    monkeypatch.setattr(np.lib.format, "open_memmap", opened)
    array = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    path = given(tmp_path, "a.npy", npy(array))
    column = array.size // 900 - 1
    found = read(path, column)
    torch.testing.assert_close(found, torch.from_numpy(array.reshape(900, -1)[:, column]), **BITS)
    assert isinstance(maps[0], np.memmap)
    assert found.data_ptr() == maps[0].ctypes.data + column * array.itemsize
    kept = path.read_bytes()
    found[3] = 7.0
    maps[0].flush()
    assert path.read_bytes() == kept


def test_npy_is_checked_to_its_last_value(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "CHUNK", 64)
    array = np.zeros(130)
    array[129] = np.nan
    path = given(tmp_path, "a.npy", npy(array))
    with refuses(ValueError, f"{path}, row 129 {FINITE} nan"):
        read(path)


def test_formats_agree_to_the_bit(tmp_path):
    values = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    text = "t,wave\n" + "".join(f"{i},{x!r}\n" for i, x in enumerate(values.tolist()))
    found = [
        read(given(tmp_path, "a.csv", text)),
        read(given(tmp_path, "a.csv.gz", text)),
        read(given(tmp_path, "a.tsv", text.replace(",", "\t"))),
        read(given(tmp_path, "a.txt", text.replace(",", ";").replace(".", ","))),
        read(given(tmp_path, "a.npy", npy(values))),
    ]
    for each in found:
        torch.testing.assert_close(each, torch.from_numpy(values), **BITS)


def parquet(folder, **columns):
    """A Parquet file with these columns."""
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: sinrnn[data]")
    path = folder / "[a]*.parquet"  # which a pattern of names would not match
    pd.DataFrame(columns).to_parquet(path)
    return path


@pytest.mark.extra
@pytest.mark.parametrize("column", [None, "wave", 1])
@pytest.mark.parametrize(
    ("beside", "dtype", "kept"),
    [
        ([0, 1, 2], np.float32, torch.float32),
        ([0, 2, 4], np.float64, torch.float64),
        (["mon", "tue", "wed"], np.int16, torch.float64),
    ],
)
def test_parquet_is_read_in_its_floats(tmp_path, column, beside, dtype, kept):
    path = parquet(tmp_path, a=beside, wave=np.array([5.25, -6.1, 9.0]).astype(dtype))
    expected = torch.from_numpy(np.array([5.25, -6.1, 9.0]).astype(dtype)).to(kept)
    torch.testing.assert_close(read(path, column), expected, **BITS)


DAYS = pd.date_range("2024-02-28", periods=3)


@pytest.mark.extra
@pytest.mark.parametrize(
    ("beside", "times"),
    [
        (DAYS, ["2024-02-28", "2024-03-02"]),
        ([str(day.date()) for day in DAYS], ["2024-02-28", "2024-03-02"]),
        ([1998, 1999, 2000], ["1998", "2001"]),
        (
            pd.date_range("2024-03-31", periods=3, freq="h", tz="Europe/Berlin"),
            ["2024-03-31 00:00:00+01:00", "2024-03-31 04:00:00+02:00"],
        ),
    ],
)
def test_parquet_has_its_times_in_a_column_or_in_pandas_index(tmp_path, beside, times):
    path = parquet(tmp_path, year=beside, v=[5.0, 6, 8])
    for frame in (pd.read_parquet(path), pd.read_parquet(path).set_index("year")):
        frame.to_parquet(path)
        index = readers.read(path).index
        assert index.text(index.values[:1]) + index.text(index.after(1)) == times


@pytest.mark.extra
def test_parquet_of_several_series_gives_the_one_asked_for(tmp_path):
    path = parquet(tmp_path, who=list("AABB"), day=[*DAYS[:2], *DAYS[:2]], v=[5, 6, 8, 1])
    assert read(path, where="who=B").tolist() == [8, 1]
    with pytest.raises(
        ValueError, match=r"row 2 .*choose one, for example with --data.series.where who=A"
    ):
        read(path)


# the columns, the one asked for, what is said
FRAMES = {
    "missing": (
        {"a": [5.0, 6.0, None]},
        None,
        f", row 2 (counted from 0), column 'a': {missing('')}",
    ),
    "inf": (
        {"a": [5.0, np.inf]},
        None,
        ", row 1 (counted from 0), column 'a': must be finite, got inf",
    ),
    "text": ({"a": ["5", "6"]}, None, ", column 'a' must hold numbers, got str"),
    "bool": ({"a": [True, False]}, None, ", column 'a' must hold numbers, got bool"),
    "text asked for": ({"a": [5], "b": ["x"]}, "b", ", column 'b' must hold numbers, got str"),
    "short": ({"a": [5.0]}, None, " must hold at least 2 points, got 1"),
    "no such": ({"a": [5.0], "b": [6]}, "c", f" has no column 'c': {CHOOSE} {TWO}"),
    "two": ({"a": [5, 1], "b": [6, 7]}, None, f"{HAS_2} {TWO}"),
    "text and two": ({"a": ["x"], "b": [5], "c": [6]}, None, f"{HAS_2} 1 (b), 2 (c)"),
    "gap": ({"a": [0, 1, None, 3], "b": [6] * 4}, None, f"{HAS_2} {TWO}"),
}


@pytest.mark.extra
@pytest.mark.parametrize("case", FRAMES)
def test_parquet_is_refused(tmp_path, case):
    columns, column, message = FRAMES[case]
    path = parquet(tmp_path, **columns)
    with refuses(ValueError, f"{path}{message}"):
        read(path, column)


@pytest.mark.extra
@pytest.mark.parametrize("damage", [slice(0, 40), slice(-40, None)])
def test_damaged_parquet_is_refused_in_one_sentence(tmp_path, damage):
    path = parquet(tmp_path, wave=np.arange(99.0))
    path.write_bytes(path.read_bytes()[damage])
    said = refused_in_one_sentence(path)
    assert said.startswith("cannot be read as Parquet, write it again: ")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = given(tmp_path, "a.parquet", "PAR1")
    with refuses(ValueError, f"{path} needs pyarrow: pip install pyarrow"):
        read(path)


# Numbers in the first row, as pandas writes them for columns without names


@pytest.mark.parametrize("first", ["0", "0,1", " 0 , 1 ,2", ",0"])
def test_first_row_that_may_be_numbers_of_columns_is_asked_about(tmp_path, first):
    rows = "".join(f"{','.join(['2.5'] * (first.count(',') + 1))}\n" for _ in range(3))
    path = given(tmp_path, "a.csv", f"{first}\n{rows}")
    said = "may be column numbers, as pandas writes them, or the first values: set "
    with refuses(
        ValueError, f"{path}, row 1: {first} {said}header (--data.series.header true or false)"
    ):
        read(path, 0)


def test_header_says_what_the_first_row_is(tmp_path):
    one = given(tmp_path, "a.csv", "0\n5\n6\n")
    assert read(one, header=True).tolist() == [5, 6]
    assert read(one, header=False).tolist() == [0, 5, 6]
    two = given(tmp_path, "b.csv", "0,1\n5,7\n6,8\n")
    assert read(two, "1", header=True).tolist() == [7, 8]
    assert read(two, 1, header=False).tolist() == [1, 7, 8]
    named = given(tmp_path, "c.csv", "t,a\n0,5\n1,7\n2,6\n")
    assert read(named, header=True).tolist() == [5, 7, 6]
    with pytest.raises(ValueError, match="row 1"):
        read(named, "1", header=False)


def test_first_row_of_other_integers_is_data(tmp_path):
    assert read(given(tmp_path, "a.csv", "1\n2\n3\n")).tolist() == [1, 2, 3]
    assert read(given(tmp_path, "b.csv", "0.0\n2\n3\n")).tolist() == [0, 2, 3]


@pytest.mark.parametrize("header", [None, True])
def test_gap_at_the_start_does_not_make_the_other_column_the_series(tmp_path, header):
    path = given(tmp_path, "a.csv", "hour,wave\n0,NA\n1,2\n2,3\n")
    with refuses(ValueError, f"{path}, row 2, column 'wave': {missing('NA')}"):
        read(path, header=header)


def test_header_of_a_file_without_text_is_refused(tmp_path):
    path = given(tmp_path, "a.npy", npy(np.arange(3.0)))
    for name, value in {"header": True, "time": "t", "decimal": ",", "skip_rows": 1}.items():
        with refuses(ValueError, f"{name} is for text files, got {path}: leave it out"):
            read(path, **{name: value})


# Files that unpack to more than they are


LIMIT = "MB: if that is right, raise max_megabytes (--data.series.max_megabytes)"


@pytest.mark.parametrize("text", ["1.5\n" * 500_000, "1" * 3_000_000], ids=["rows", "a line"])
def test_compressed_text_is_read_up_to_a_limit(tmp_path, text):
    path = given(tmp_path, "a.csv.gz", text)
    assert path.stat().st_size < 10_000
    with refuses(ValueError, f"{path} unpacks to more than 1 {LIMIT}"):
        read(path, max_megabytes=1)
    if "\n" in text:
        assert len(read(path, max_megabytes=2)) == 500_000


@pytest.mark.extra
def test_parquet_is_read_up_to_a_limit(tmp_path):
    path = parquet(tmp_path, wave=np.zeros(500_000))
    assert len(read(path, max_megabytes=4)) == 500_000
    with refuses(ValueError, f"{path} unpacks to 4 {LIMIT}"):
        read(path, max_megabytes=3)


CUT = """
import os
import numpy as np
from sinrnn.data import readers

opened = np.lib.format.open_memmap


def cut(path, **options):
    found = opened(path, **options)
    os.truncate(path, 4096)
    return found


np.lib.format.open_memmap = cut
try:
    readers.read("a.npy")
except ValueError as error:
    print(error)
"""


@pytest.mark.process
def test_npy_that_is_cut_while_it_is_read_is_refused(tmp_path):
    """A map of it would end the process without a word."""
    given(tmp_path, "a.npy", npy(np.zeros(50_000)))
    done = programs.run("-c", CUT, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("a.npy cannot be read as .npy, write it again: ")
