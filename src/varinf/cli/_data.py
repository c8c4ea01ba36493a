def data() -> None:
    """List the data sets that are known by name, and where each is on this machine."""
    from varinf.data import known

    for entry in known():
        where = str(entry.found_at) if entry.found_at else "not here; downloaded when first asked for"
        print(f"{entry.name}\n  {entry.description}\n  {where}")
    print(
        "\nAny of these can also be DATA: a folder of PNG or JPEG images; a .npy or .npz array; an IDX file,\n"
        "gzipped or not; a CSV or Parquet table of numbers. A 2-D array or a table is rows × columns, a 3-D or\n"
        "4-D array is images."
    )
