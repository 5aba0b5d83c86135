"""What a study leaves beside Snakemake's records, in the working directory. Loads nothing."""

from pathlib import Path


def lock_of(study: str) -> Path:
    """Return the lock of a study, a file that stays when the study ends.

    It is made before the first job. So results without it were copied here, without the records.
    """
    return Path(f".snakemake/at-work/{study}")


def round_of(study: str) -> Path:
    """Return the file in which jobs of a cluster find how many seeds their round has."""
    return Path(f".snakemake/at-work/{study}.seeds")


def has_unknown_results(study: str) -> bool:
    """Return whether there are results of a study that Snakemake has no records of.

    They are all in folders. A file beside these may be somebody's own.
    """
    found = Path("results", study).glob("*/**/*")
    return not lock_of(study).exists() and any(path.is_file() for path in found)
