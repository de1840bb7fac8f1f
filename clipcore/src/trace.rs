//! Spans under the trace of whoever sent what they are about: only where there is one. What nobody traces costs nothing.

use tracing::Span;

use crate::sink::Delivery;

/// The trace's id in a W3C `traceparent` (Trace Context, level 1): 32 hex digits, not all zero.
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, id, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, digits: usize| {
        text.len() == digits
            && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            && text.bytes().any(|b| b != b'0')
    };
    (version.len() == 2 && version != "ff" && hex(id, 32) && hex(parent, 16)).then_some(id)
}

/// Something that is done for one trace. Its level is such that no filter of logs takes the trace's id from them.
macro_rules! span {
    ($name:literal, $trace:expr $(, $($fields:tt)*)?) => {{
        let trace: Option<&str> = $trace;
        match trace.and_then(|trace| Some((trace, $crate::trace::trace_id(trace)?))) {
            Some((trace, trace_id)) => {
                let span = tracing::error_span!(target: "clipcore::trace", $name, trace_id $(, $($fields)*)?);
                $crate::trace::under(span, trace)
            }
            None => tracing::Span::none(),
        }
    }};
}
pub(crate) use span;

/// Makes the producer's span the parent, where traces are exported.
pub(crate) fn under(span: Span, traceparent: &str) -> Span {
    #[cfg(feature = "otlp")]
    crate::otlp::set_parent(&span, traceparent);
    let _ = traceparent;
    span
}

/// A delivery to a sink.
pub(crate) fn delivery(sink: &str, item: &Delivery) -> Span {
    let trace = match item {
        Delivery::Moment(moment) => &moment.trace,
        Delivery::Clip { clip, .. } => &clip.trace,
    };
    span!("deliver", trace.as_deref(), sink, item = %item.item(), rev = item.rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_trace_has_an_id() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_id(&format!("00-{id}-00f067aa0ba902b7-01")), Some(id));
        for none in [
            "",
            "x",
            "00",
            id,
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{id}-00f0-01"),
        ] {
            assert_eq!(trace_id(none), None, "{none}");
        }
    }
}
