"""Is physiology all that ECG and image share? For whoever trusts a result on this generator.

    graph          the declared causal graph, as data   check       one line of the audit
    interventions  what moves when one thing is changed; new nuisances, every bit compared
    sampling       do drawn latents depend on their declared causes alone?
    measures       plain measurements of rendered data  estimators  of dependence, with their nulls
    report         `python -m data_synth audit`; its last output lies beside it as results-3.1.txt

An edge that the generator gains must be declared in `graph`, or the audit fails. Bounds may be
changed only with a test that plants what they must see. Imports the whole generator.
"""
