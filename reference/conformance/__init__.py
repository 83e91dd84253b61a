"""For porters: golden vectors, and the runner that holds a port against them.

    PORTING.md   the guide                       NUMERICS.md  how exact which precision is
    command      `python -m reference verify`    runner       comparing, component by component
    vectors      the format of golden/           adapters     a port as a file of functions
    exchange     a port as .npy files            builtin/     this library as its own port

The vectors change only with the oracle (tests/oracle), never by hand. Imports the method; the
method never imports this. A port needs `vectors`, `runner`, `adapters` and NumPy alone.
"""
