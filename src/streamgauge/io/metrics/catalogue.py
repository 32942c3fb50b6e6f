"""The catalogue: every metric that Streamgauge publishes, in the order in which it is written.

The exposition, the page docs/metrics.md, dashboards and tests are derived from it. A metric stands
here once something fills it, not before.
"""

from typing import Final, NamedTuple

from streamgauge.io.metrics.metric import Metric, MetricType, Scope

PREFIX: Final = "streamgauge_"
_VERSION: Final = ("model", "model_version")
_SLICE: Final = (*_VERSION, "slice")
_ALERT: Final = (*_SLICE, "subject_kind", "subject", "detector", "severity")


_defined: list[Metric] = []


def _metric(
    type_: MetricType, scope: Scope, name: str, labels: tuple[str, ...], unit: str, text: str
) -> Metric:
    metric = Metric(PREFIX + name, type_, unit, text, labels, scope)
    _defined.append(metric)
    return metric


def _counter(name: str, labels: tuple[str, ...], unit: str, text: str) -> Metric:
    return _metric(MetricType.COUNTER, Scope.MODEL, name, labels, unit, text)


def _gauge(name: str, labels: tuple[str, ...], unit: str, text: str) -> Metric:
    return _metric(MetricType.GAUGE, Scope.MODEL, name, labels, unit, text)


def _histogram(name: str, labels: tuple[str, ...], unit: str, text: str) -> Metric:
    return _metric(MetricType.HISTOGRAM, Scope.MODEL, name, labels, unit, text)


MODEL_INFO: Final = _metric(
    MetricType.INFO,
    Scope.MODEL,
    "model_info",
    ("model", "reference"),
    "",
    "The reference that a model is compared with; empty while there is none.",
)
WATERMARK: Final = _gauge(
    "watermark_timestamp_seconds",
    ("model",),
    "seconds",
    "Event time up to which all events are taken to have arrived.",
)
LAST_EVENT: Final = _gauge(
    "last_event_timestamp_seconds", ("model",), "seconds", "Largest event time seen."
)
LATE_EVENTS: Final = _counter(
    "late_events_total",
    ("model",),
    "events",
    "Events that came after their pane had closed: within the grace, or too late to count.",
)

ALERTS_FIRING: Final = _gauge(
    "alerts_firing", ("model", "severity"), "alerts", "Alerts that are firing now, by severity."
)
ALERT_ACTIVE: Final = _gauge(
    "alert_active", _ALERT, "", "1 while the alert is firing; slice is empty for all traffic."
)
ALERT_ONSET: Final = _gauge(
    "alert_onset_timestamp_seconds",
    _ALERT,
    "seconds",
    "Event time at which the change that a firing alert is about is estimated to have begun.",
)
ALERTS_FIRED: Final = _counter(
    "alerts_fired_total",
    ("model", "subject_kind", "detector", "severity"),
    "alerts",
    "Alerts that began to fire.",
)

PREDICTIONS: Final = _counter(
    "predictions_total",
    _VERSION,
    "events",
    "Prediction events accepted, those with an error status included.",
)
PREDICTION_ERRORS: Final = _counter(
    "prediction_errors_total", _VERSION, "events", "Prediction events with an error status."
)
PREDICTION_VALUES: Final = _counter(
    "prediction_values_total",
    (*_VERSION, "value"),
    "events",
    "Served predictions by predicted class; (other), (unseen), (missing) and (wrong type) are "
    "not classes. The values add up to all served predictions.",
)
LATENCY: Final = _histogram(
    "latency_seconds", _VERSION, "seconds", "Latency that the serving side reported."
)
SCORE_VALUE: Final = _histogram("score_value", _VERSION, "", "Scores.")
SCORE_MISSING: Final = _counter(
    "score_missing_total", _VERSION, "events", "Served predictions without a score."
)
PREDICTION_VALUE: Final = _histogram(
    "prediction_value", _VERSION, "", "Predicted numbers of a regression."
)

_FEATURE: Final = (*_VERSION, "feature")
FEATURE_VALUES: Final = _counter(
    "feature_values_total",
    _FEATURE,
    "events",
    "Served predictions whose feature was looked at, whatever it carried: the denominator of the "
    "other feature counters.",
)
FEATURE_MISSING: Final = _counter(
    "feature_missing_total", _FEATURE, "events", "Feature absent or null."
)
FEATURE_WRONG_TYPE: Final = _counter(
    "feature_wrong_type_total", _FEATURE, "events", "Feature of another JSON type than its kind's."
)
FEATURE_NOT_FINITE: Final = _counter(
    "feature_not_finite_total", _FEATURE, "events", "Numeric feature that is NaN or infinite."
)
FEATURE_OUT_OF_RANGE: Final = _counter(
    "feature_out_of_range_total",
    _FEATURE,
    "events",
    "Numeric feature below the reference's minimum or above its maximum.",
)
FEATURE_UNSEEN: Final = _counter(
    "feature_unseen_total",
    _FEATURE,
    "events",
    "Categorical feature with a value that the reference never held.",
)
FEATURE_VALUE: Final = _histogram(
    "feature_value", _FEATURE, "", "Finite values of a numeric feature, on the reference's edges."
)

WINDOW_END: Final = _gauge(
    "window_end_timestamp_seconds",
    ("model", "window"),
    "seconds",
    "Event time at which the window's latest step ended; its figures cover what came before.",
)
WINDOW_SAMPLES: Final = _gauge(
    "window_samples", (*_VERSION, "window"), "events", "Served predictions in the window."
)
_FEATURE_WINDOW: Final = (*_FEATURE, "window")
FEATURE_MEAN: Final = _gauge("feature_mean", _FEATURE_WINDOW, "", "Mean of a numeric feature.")
FEATURE_STD: Final = _gauge(
    "feature_std", _FEATURE_WINDOW, "", "Standard deviation (population) of a numeric feature."
)
FEATURE_MINIMUM: Final = _gauge(
    "feature_minimum", _FEATURE_WINDOW, "", "Smallest value of a numeric feature."
)
FEATURE_MAXIMUM: Final = _gauge(
    "feature_maximum", _FEATURE_WINDOW, "", "Largest value of a numeric feature."
)
FEATURE_QUANTILE: Final = _gauge(
    "feature_quantile",
    (*_FEATURE_WINDOW, "q"),
    "",
    "Quantile q of a numeric feature, from the fine bins.",
)
FEATURE_REFERENCE_MEAN: Final = _gauge(
    "feature_reference_mean", ("model", "feature"), "", "Mean of a numeric feature's reference."
)
FEATURE_REFERENCE_STD: Final = _gauge(
    "feature_reference_std",
    ("model", "feature"),
    "",
    "Standard deviation of a numeric feature's reference; 1 where the reference is constant.",
)
SCORE_MEAN: Final = _gauge("score_mean", (*_VERSION, "window"), "", "Mean score.")
PREDICTION_MEAN: Final = _gauge(
    "prediction_mean", (*_VERSION, "window"), "", "Mean predicted number of a regression."
)


class DistanceMetrics(NamedTuple):
    """The metrics of one kind of distance; slices have no p-value of their own."""

    raw: Metric
    corrected: Metric
    p_value: Metric | None


def _distances(scope: Scope, name: str, labels: tuple[str, ...], text: str) -> DistanceMetrics:
    labels = (*labels, "measure", "window")

    def define(suffix: str, text: str) -> Metric:
        return _metric(MetricType.GAUGE, scope, name + suffix, labels, "", text)

    return DistanceMetrics(
        define("", text),
        define("_corrected", "The same less what chance alone gives at this number of events."),
        define("_p_value", "Probability of a distance at least this large if nothing changed.")
        if scope is Scope.MODEL
        else None,
    )


FEATURE_DISTANCE: Final = _distances(
    Scope.MODEL,
    "feature_distance",
    _FEATURE,
    "Distance of a feature's distribution from its reference.",
)
SCORE_DISTANCE: Final = _distances(
    Scope.MODEL,
    "score_distance",
    _VERSION,
    "Distance of the scores' distribution from its reference.",
)
PREDICTION_DISTANCE: Final = _distances(
    Scope.MODEL,
    "prediction_distance",
    _VERSION,
    "Distance of the predictions' distribution from its reference.",
)


LABELS_JOINED: Final = _counter(
    "labels_joined_total", _VERSION, "events", "Predictions that a label was joined to."
)
LABELS: Final = _counter(
    "labels_total",
    ("model", "fate"),
    "events",
    "Labels by what became of them: joined (the first of its prediction), corrected (a higher "
    "version took an earlier label's place), duplicate (no higher version than one before), orphan "
    "(no prediction came in time) or late (its prediction took no labels any more). Labels that "
    "wait for their prediction have no fate yet.",
)
PREDICTIONS_UNLABELLED: Final = _counter(
    "predictions_unlabelled_total",
    ("model",),
    "events",
    "Predictions whose time for a label was over, or that had to make room, without one.",
)
DUPLICATE_PREDICTIONS: Final = _counter(
    "duplicate_predictions_total",
    ("model",),
    "events",
    "Predictions with an id that another one had; no label is joined to them.",
)
PENDING_LABELS: Final = _gauge(
    "pending_labels", ("model",), "events", "Predictions that wait for their label."
)
WAITING_LABELS: Final = _gauge(
    "waiting_labels", ("model",), "events", "Labels that wait for their prediction."
)
LABEL_DELAY: Final = _histogram(
    "label_delay_seconds",
    _VERSION,
    "seconds",
    "Event time from a prediction to its first label, up to the largest delay that is joined.",
)
LABEL_COVERAGE: Final = _gauge(
    "label_coverage_ratio",
    (*_VERSION, "window"),
    "ratio",
    "Labelled share of the predictions made in the latest run of the window's length that has its "
    "labels: 95 % of the share that usually get one, or all of it past the largest delay. Labels "
    "still to come do not lower it, labels that stopped do, at the latest after the largest delay.",
)

_FIGURE: Final = ("metric", "window")
_INTERVAL: Final = "limit of the 95 % confidence interval of the figure without the suffix."


class FigureMetrics(NamedTuple):
    """The metrics of one kind of performance figures; some come without their interval."""

    value: Metric
    lower: Metric | None = None
    upper: Metric | None = None


def _figures(scope: Scope, name: str, labels: tuple[str, ...], text: str) -> FigureMetrics:
    """Define a figure and the limits of its interval."""

    def define(suffix: str, text: str) -> Metric:
        return _metric(MetricType.GAUGE, scope, name + suffix, (*labels, *_FIGURE), "", text)

    return FigureMetrics(
        define("", text),
        define("_lower", f"Lower {_INTERVAL}"),
        define("_upper", f"Upper {_INTERVAL}"),
    )


PERFORMANCE: Final = _figures(
    Scope.MODEL,
    "performance",
    _VERSION,
    "Performance of the predictions whose label came in the window.",
)
PERFORMANCE_SAMPLES: Final = _gauge(
    "performance_samples",
    (*_VERSION, "window"),
    "events",
    "Predictions whose label came in the window.",
)
ESTIMATED_PERFORMANCE: Final = _figures(
    Scope.MODEL,
    "estimated_performance",
    _VERSION,
    "Performance that is expected of the predictions made in the window, from their scores alone "
    "(of a regression: from its predictions) and how these came true in the reference.",
)
PERFORMANCE_ESTIMATE_GAP: Final = _gauge(
    "performance_estimate_gap",
    (*_VERSION, *_FIGURE),
    "",
    "Performance less estimated performance, where both exist; labels that came in the window are "
    "of earlier predictions than those that the estimate is of.",
)
WEIGHTED_PERFORMANCE: Final = _figures(
    Scope.MODEL,
    "weighted_performance",
    _VERSION,
    "Performance of the predictions made in the window, while labels are still to come: each label "
    "weighs as much as labels like it that have not come yet.",
)
MATURED_PERFORMANCE: Final = _figures(
    Scope.MODEL,
    "matured_performance",
    _VERSION,
    "Performance of the predictions made in the latest run of the window's length that has its "
    "labels.",
)
MATURED_PERFORMANCE_END: Final = _gauge(
    "matured_performance_end_timestamp_seconds",
    (*_VERSION, "window"),
    "seconds",
    "Event time at which the run of matured performance and of the label coverage ended; it stands "
    "still while labels do not come.",
)
REFERENCE_PERFORMANCE: Final = _gauge(
    "reference_performance", ("model", "metric"), "", "Performance in the reference."
)

_SUBJECT: Final = ("subject_kind", "subject")
_EVIDENCE_TEXT: Final = (
    "Evidence that a subject has changed, the most of its series since they last began anew; held "
    "against the threshold."
)
_THRESHOLD_TEXT: Final = "Evidence at which a subject counts as changed under the alert budget."
DETECTOR_EVIDENCE: Final = _gauge(
    "detector_evidence", (*_VERSION, *_SUBJECT), "nats", _EVIDENCE_TEXT
)
DETECTOR_THRESHOLD: Final = _gauge(
    "detector_threshold", (*_VERSION, *_SUBJECT), "nats", _THRESHOLD_TEXT
)
DETECTOR_OVERDISPERSION: Final = _gauge(
    "detector_overdispersion",
    (*_VERSION, *_SUBJECT),
    "",
    "How many times more than independent events a subject's shares vary, at least 1; without a "
    "sample until it is learned.",
)


def _slice_counter(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return _metric(MetricType.COUNTER, Scope.SLICE, name, (*_SLICE, *labels), "events", text)


def _slice_gauge(name: str, labels: tuple[str, ...], unit: str, text: str) -> Metric:
    return _metric(MetricType.GAUGE, Scope.SLICE, name, (*_SLICE, *labels), unit, text)


SLICE_PREDICTIONS: Final = _slice_counter(
    "slice_predictions_total", (), "Prediction events of the slice, errors included."
)
SLICE_PREDICTION_ERRORS: Final = _slice_counter(
    "slice_prediction_errors_total", (), "Prediction events of the slice with an error status."
)
SLICE_FEATURE_MISSING: Final = _slice_counter(
    "slice_feature_missing_total", ("feature",), "Feature absent or null in the slice."
)
SLICE_WINDOW_SAMPLES: Final = _slice_gauge(
    "slice_window_samples", ("window",), "events", "Served predictions of the slice in the window."
)
SLICE_FEATURE_DISTANCE: Final = _distances(
    Scope.SLICE,
    "slice_feature_distance",
    (*_SLICE, "feature"),
    "Distance of a feature's distribution in the slice from its reference.",
)
SLICE_SCORE_DISTANCE: Final = _distances(
    Scope.SLICE,
    "slice_score_distance",
    _SLICE,
    "Distance of the slice's scores from their reference.",
)
SLICE_PREDICTION_DISTANCE: Final = _distances(
    Scope.SLICE,
    "slice_prediction_distance",
    _SLICE,
    "Distance of the slice's predictions from their reference.",
)
SLICE_LABELS_JOINED: Final = _slice_counter(
    "slice_labels_joined_total", (), "Predictions of the slice that a label was joined to."
)
SLICE_PERFORMANCE: Final = _figures(
    Scope.SLICE,
    "slice_performance",
    _SLICE,
    "Performance of the slice's predictions whose label came in the window.",
)
SLICE_PERFORMANCE_SAMPLES: Final = _slice_gauge(
    "slice_performance_samples",
    ("window",),
    "events",
    "Predictions of the slice whose label came in the window.",
)
SLICE_ESTIMATED_PERFORMANCE: Final = FigureMetrics(
    _slice_gauge(
        "slice_estimated_performance",
        _FIGURE,
        "",
        "Performance that is expected of the slice's predictions made in the window.",
    )
)
_FEW: Final = "Without rates of bad values."
SLICE_DETECTOR_EVIDENCE: Final = _slice_gauge(
    "slice_detector_evidence", _SUBJECT, "nats", f"{_EVIDENCE_TEXT} {_FEW}"
)
SLICE_DETECTOR_THRESHOLD: Final = _slice_gauge(
    "slice_detector_threshold", _SUBJECT, "nats", f"{_THRESHOLD_TEXT} {_FEW}"
)


def _self(type_: MetricType, name: str, labels: tuple[str, ...], unit: str, text: str) -> Metric:
    return _metric(type_, Scope.SELF, name, labels, unit, text)


BUILD_INFO: Final = _self(
    MetricType.INFO, "build_info", ("version", "python"), "", "Versions of what is running."
)
CONFIG_RELOADED: Final = _self(
    MetricType.GAUGE,
    "config_last_reload_success_timestamp_seconds",
    (),
    "seconds",
    "When the configuration in use was read.",
)
ACTIVE: Final = _self(
    MetricType.GAUGE, "active", (), "", "1 while this replica does the work, 0 while it stands by."
)
MESSAGES_CONSUMED: Final = _self(
    MetricType.COUNTER,
    "messages_consumed_total",
    (),
    "events",
    "Events read from the input: a message in JSON is one, an Arrow batch is one for each row.",
)
PARTITIONS_PAUSED: Final = _self(
    MetricType.GAUGE,
    "partitions_paused",
    (),
    "partitions",
    "Input partitions held back because their events run ahead of the others'.",
)
CONSUMER_LAG: Final = _self(
    MetricType.GAUGE,
    "consumer_lag_messages",
    ("topic", "partition"),
    "messages",
    "Messages of an input partition that are not read yet.",
)
EVENTS_INVALID: Final = _self(
    MetricType.COUNTER,
    "events_invalid_total",
    ("reason",),
    "events",
    "Messages and rows of Arrow batches that are no valid event, by reason.",
)
DEAD_LETTERS: Final = _self(
    MetricType.COUNTER,
    "dead_letters_total",
    ("reason",),
    "messages",
    "Dead letters written, by reason.",
)
UNKNOWN_MODEL_EVENTS: Final = _self(
    MetricType.COUNTER,
    "unknown_model_events_total",
    (),
    "events",
    "Events of models that the configuration does not name.",
)
UNKNOWN_FIELDS: Final = _self(
    MetricType.COUNTER,
    "unknown_fields_total",
    (),
    "fields",
    "Fields of events that no model has; they are ignored.",
)
TOMBSTONES: Final = _self(
    MetricType.COUNTER, "tombstones_total", (), "messages", "Messages without a value."
)
REBALANCES: Final = _self(
    MetricType.COUNTER,
    "rebalances_total",
    (),
    "rebalances",
    "Times that the assignment of partitions changed.",
)
CHECKPOINTS: Final = _self(
    MetricType.COUNTER, "checkpoints_total", (), "checkpoints", "Checkpoints committed."
)
CHECKPOINT_DURATION: Final = _self(
    MetricType.HISTOGRAM,
    "checkpoint_duration_seconds",
    (),
    "seconds",
    "Time that a committed checkpoint took.",
)
CHECKPOINT_LAST_SUCCESS: Final = _self(
    MetricType.GAUGE,
    "checkpoint_last_success_timestamp_seconds",
    (),
    "seconds",
    "When the last checkpoint was committed; 0 before the first.",
)
STATE_BYTES: Final = _self(
    MetricType.GAUGE,
    "state_bytes",
    (),
    "bytes",
    "Bytes that the last checkpoint wrote to the state topic; 0 before the first.",
)
SPILLED_BYTES: Final = _self(
    MetricType.GAUGE,
    "spilled_bytes",
    (),
    "bytes",
    "Bytes of windows' closed steps that are on the local disk instead of in memory.",
)
SPILL_FAILURES: Final = _self(
    MetricType.COUNTER,
    "spill_failures_total",
    (),
    "failures",
    "Times that part of a window's closed step stayed in memory because the local disk is full or "
    "cannot be written.",
)
SERIES_EXPORTED: Final = _self(
    MetricType.GAUGE,
    "series_exported",
    (),
    "series",
    "Series of models and slices in the latest exposition.",
)
SERIES_DROPPED: Final = _self(
    MetricType.COUNTER,
    "series_dropped_total",
    ("reason",),
    "series",
    "Series left out because of a cap, added up over expositions: slice_cap (slices exported of a "
    "model), model_cap (series of a model), process_cap (series in all).",
)

CATALOGUE: Final[tuple[Metric, ...]] = tuple(_defined)
"""All metrics, in the order of their definition."""
