"""What all operations share, for whoever adds one or doubts a number.

    measure       one row: bind, check against float64, time    timing      clocks of host and card
    roofline      what this machine can do at best              launches    kernels of one call
    counts        FLOP and bytes of networks, by formula        machine     facts behind the numbers
    networks      what several operations run                   variants    compiled, narrow, layout
    alternatives  others' packages, never required              tables      rows and their verdicts
    figures       roofline and scaling plots                    projection  times of whole stages

May be changed with care: row names and fields of the JSON stay, for kept runs are read by them.
Imports the method, torch, NumPy, pytest and the standard library (matplotlib for a figure alone),
never an operation, `data_synth` or `tests`; `tables` and `projection` need no torch.
"""
