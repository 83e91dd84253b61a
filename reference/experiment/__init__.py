"""The arms as files, for whoever trains: a cohort in, runs and a report out.

    prepare      cohort -> arrays that training reads     runs        one stage as a directory
    comparison   the main job: five arms, compared        features    what a trained model sees
    report, figures, progress                             commands    the command line's part

May be changed freely: nothing of the method depends on it. Imports the method and `cohort`.
"""
