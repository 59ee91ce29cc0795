# Reads a table as other people's programs do, and prints its rows as sorted JSON lines:
# with pyiceberg from its metadata, and with DuckDB from the Parquet files that pyiceberg plans.
# Both must say the same. Numbers stand as their bits.
import json
import struct
import sys

import duckdb
from pyiceberg.table import StaticTable

location, properties = sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
table = StaticTable.from_metadata(location, properties)


def bits(v):
    return None if v is None else struct.pack(">d", v).hex()


columns = [f.name for f in table.schema().fields]


def line(row):
    r = dict(zip(columns, row))
    r["time"] = int(r["time"])
    r["value"] = bits(r["value"])
    r["integer"] = None if r["integer"] is None else str(int(r["integer"]))
    return json.dumps(r, sort_keys=True)


arrow = table.scan().to_arrow()
micros = arrow.set_column(columns.index("time"), "time", arrow.column("time").cast("int64"))
by_pyiceberg = sorted(line(row.values()) for row in micros.to_pylist())

files = [task.file.file_path for task in table.scan().plan_files()]
db = duckdb.connect()
if properties:
    db.register("fetched", arrow)  # without its httpfs extension, DuckDB reads no S3 by itself
    source = "fetched"
else:
    source = "read_parquet(%s)" % json.dumps(files).replace('"', "'")
if files:
    chosen = ", ".join('epoch_us("time")' if c == "time" else '"%s"' % c for c in columns)
    by_duckdb = sorted(line(row) for row in db.sql("SELECT %s FROM %s" % (chosen, source)).fetchall())
else:
    by_duckdb = []
if by_pyiceberg != by_duckdb:
    sys.exit("pyiceberg and DuckDB read different rows: %d and %d" % (len(by_pyiceberg), len(by_duckdb)))
print("\n".join(by_pyiceberg))
