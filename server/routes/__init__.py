"""The HTTP resources, one file each; a new one is listed here, in the order of the documentation."""

from server.routes import (
    catalogue,
    checkpoints,
    comparisons,
    export,
    frames,
    health,
    jobs,
    ledger,
    live,
    metrics,
    simulations,
    streams,
    system,
    tokens,
    whoami,
    worker,
)

ROUTERS = tuple(
    module.router
    for module in (
        jobs,
        export,
        checkpoints,
        frames,
        streams,
        live,
        comparisons,
        ledger,
        simulations,
        catalogue,
        worker,
        tokens,
        whoami,
        system,
        health,
        metrics,
    )
)
