"""Is it like published hearts? For whoever doubts the generator or compares a change of it.

    targets      published ranges, as data           statistics  one number of a table, its error
    delineation  measures any twelve-lead record     measurement one row of numbers a subject
    real_record  a record with Frank leads as judge  gallery     pictures of typical findings
    report       `python -m data_synth report`: every range, inside or not; its last output lies
                 beside it as results-3.1.md

Ranges and measurements may be changed: no subject depends on them. Measures what was rendered and
knows nothing of how. Imports the whole generator, `reference.probes` only in the report.
"""
