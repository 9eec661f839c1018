TASK_WORDS: int
MAX_TRAILING: int
OPENMP: int

def step(
    address: int,
    count: int,
    threads: int,
    hyper: tuple[float, float, float, float, float, float, float],
    /,
) -> None: ...
def first_nonfinite(address: int, count: int, threads: int, /) -> int: ...
def use_instructions(wanted: str | None = None, /) -> str: ...
