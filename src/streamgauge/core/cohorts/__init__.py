"""Cohorts: performance by the prediction's time, while labels are still coming in.

A cohort is the predictions of one step of event time. Labels that come fast are not like those
that come slowly, so the labels of young cohorts say too much of the fast ones. `arrival` learns how
fast labels of each outcome come, `weighting` gives each label the weight of those like it that are
yet to come, `figures` are what follows for classifiers, `maturity` finds the last window that has
its labels.

Two axes everywhere: steps, ascending in time, and strata, the outcomes whose labels differ in
speed. A classifier's strata are the cells of its confusion matrix, numbered label · classes +
prediction; a regression has one.
"""
