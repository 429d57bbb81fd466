"""The fast reader: a block proved clean goes through pyarrow's CSV reader.

Nothing is decided here: what pyarrow would read otherwise than the rules say is kept from it by `blocks`.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from rowstream.errors import Fatal
from splitter.batch import Batch, cell_names, make_records, wrong_count
from splitter.blocks import CleanBlock
from splitter.header import Header
from splitter.limits import Limits


def read_block(block: CleanBlock, row_numbers: npt.NDArray[np.int64], header: Header, limits: Limits) -> Batch:
    """The records of a clean block; those without as many cells as the header are rejected.

    Args:
        block: One or more records.
        row_numbers: Of each record, ascending.
        header: The file's.
        limits: Of what is kept of a rejected record.

    Raises:
        Fatal: pyarrow saw another number of records than the proof did. No file should bring that about, and going on
            would shift row numbers.
    """
    wrong: list[tuple[int, int]] = []

    def skip(row: pa.csv.InvalidRow) -> Literal["skip"]:
        wrong.append((row.number - 1, row.actual_columns))
        return "skip"

    names = cell_names(header.width)
    kept = [names[position] for position in header.kept]
    table = pa.csv.read_csv(
        pa.BufferReader(pa.py_buffer(block.data).slice(0, block.size)),
        read_options=pa.csv.ReadOptions(use_threads=False, block_size=block.size + 1, column_names=names),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip),
        convert_options=pa.csv.ConvertOptions(
            check_utf8=False,
            strings_can_be_null=False,
            include_columns=kept,
            column_types=dict.fromkeys(kept, pa.utf8()),
        ),
    )
    if table.num_rows + len(wrong) != block.ends.size:
        raise Fatal(
            f"The CSV reader found {table.num_rows + len(wrong)} records in {block.size} bytes where the proof counted"
            f" {block.ends.size}, from row {row_numbers[0]} on: report this with the file"
        )
    rejections = [
        wrong_count(int(row_numbers[index]), found, header.width, block.raw_record(index), limits)
        for index, found in wrong
    ]
    if wrong:
        row_numbers = np.delete(row_numbers, [index for index, _ in wrong])
    cells = [column.combine_chunks() for column in table.columns]
    return Batch(make_records(row_numbers, cells), rejections)
