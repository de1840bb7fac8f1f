use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::shorten;
use crate::{Error, Result, StreamId, Timestamp};

/// A true highlight, as a person marked it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The stream it happened on.
    pub stream: StreamId,
    /// Its first instant.
    pub start: Timestamp,
    /// Its last instant; never before `start`.
    pub end: Timestamp,
    /// What kind of highlight, where the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Arc<str>>,
}

/// The columns that a labels file must have, and the one it may have.
const COLUMNS: [&str; 4] = ["stream", "start", "end", "kind"];

/// Reads labels from CSV with the header `stream,start,end[,kind]`, times in seconds of stream time.
///
/// Columns may stand in any order, and columns of other names are ignored. Empty lines are skipped. No field
/// needs quotes: ids, numbers and kinds hold no comma. A truth that is partly wrong measures nothing, so the
/// first wrong line is an error.
///
/// # Errors
/// `InvalidInput` that names the line and the field; `Io` where the reader fails.
pub fn read_labels(reader: impl BufRead) -> Result<Vec<Label>> {
    let mut columns = None;
    let mut labels = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let line = line.map_err(|e| Error::from(e).with_context("line", index + 1))?;
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let at_line = |e: Error| e.with_context("line", index + 1).with_operation("eval::read_labels");
        match &columns {
            None => columns = Some(header(&fields).map_err(at_line)?),
            Some(columns) => labels.push(row(columns, &fields).map_err(at_line)?),
        }
    }
    if columns.is_none() {
        return Err(Error::invalid("the labels file is empty").with_hint(HINT));
    }
    Ok(labels)
}

const HINT: &str = "write a header stream,start,end[,kind] and one highlight a line, times in seconds";

fn header(fields: &[&str]) -> Result<[Option<usize>; 4]> {
    let columns = COLUMNS.map(|name| fields.iter().position(|f| f.eq_ignore_ascii_case(name)));
    match columns[..3].iter().position(Option::is_none) {
        None => Ok(columns),
        Some(missing) => {
            Err(Error::invalid(format!("the header has no column {:?}", COLUMNS[missing])).with_hint(HINT))
        }
    }
}

fn row(columns: &[Option<usize>; 4], fields: &[&str]) -> Result<Label> {
    let field = |column: usize| columns[column].and_then(|i| fields.get(i).copied());
    let required = |column: usize| {
        field(column)
            .filter(|f| !f.is_empty())
            .ok_or_else(|| Error::invalid(format!("there is no {:?}", COLUMNS[column])).with_hint(HINT))
    };
    let seconds = |column: usize| {
        let text = required(column)?;
        let secs = text.parse().map_err(|_| {
            Error::invalid(format!("{:?} is {:?}, not a number of seconds", COLUMNS[column], shorten(text)))
        })?;
        Timestamp::try_from_secs_f64(secs)
    };
    let label = Label {
        stream: StreamId::new(required(0)?)?,
        start: seconds(1)?,
        end: seconds(2)?,
        kind: field(3).filter(|k| !k.is_empty()).map(Arc::from),
    };
    if label.end < label.start {
        return Err(Error::invalid(format!(
            "the label ends at {} before it starts at {}",
            label.end, label.start
        ))
        .with_hint("swap the two"));
    }
    Ok(label)
}

/// Labels as the CSV that [`read_labels`] reads.
pub fn labels_to_csv(labels: &[Label]) -> String {
    let kinds = labels.iter().any(|l| l.kind.is_some());
    let mut csv = String::from(if kinds { "stream,start,end,kind\n" } else { "stream,start,end\n" });
    for l in labels {
        csv += &format!("{},{:.3},{:.3}", l.stream, l.start.as_secs_f64(), l.end.as_secs_f64());
        if kinds {
            csv += &format!(",{}", l.kind.as_deref().unwrap_or_default());
        }
        csv.push('\n');
    }
    csv
}

/// Groups labels by stream, each group sorted by start.
pub(super) fn by_stream(labels: &[Label]) -> BTreeMap<StreamId, Vec<Label>> {
    let mut groups: BTreeMap<StreamId, Vec<Label>> = BTreeMap::new();
    for label in labels {
        groups.entry(label.stream.clone()).or_default().push(label.clone());
    }
    groups.values_mut().for_each(|g| g.sort_by_key(|l| (l.start, l.end)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_their_own_csv() {
        let csv = "stream,start,end,kind\ns1,48.000,55.500,cheer\ns2,1.000,1.000,\n";
        let labels = read_labels(csv.as_bytes()).unwrap();
        assert_eq!(labels.len(), 2);
        assert_eq!(labels[0].kind.as_deref(), Some("cheer"));
        assert_eq!(labels_to_csv(&labels), csv);
    }

    #[test]
    fn columns_stand_in_any_order_and_strangers_are_ignored() {
        let labels = read_labels("\u{feff}end,note,stream,start\r\n\r\n9,hm,s1,4\r\n".as_bytes()).unwrap();
        assert_eq!(labels[0].start, Timestamp::from_secs(4));
        assert_eq!(labels[0].end, Timestamp::from_secs(9));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (csv, says) in [
            ("", "empty"),
            ("stream,start\n", "no column \"end\""),
            ("stream,start,end\ns1,soon,5\n", "\"start\" is \"soon\""),
            ("stream,start,end\ns1,1,2\ns1,3\n", "(line: 3)"),
            ("stream,start,end\n../x,1,2\n", "not a stream id"),
            ("stream,start,end\ns1,5,2\n", "before it starts"),
            ("stream,start,end\ns1,nan,2\n", "not a time in seconds"),
        ] {
            let err = read_labels(csv.as_bytes()).unwrap_err().to_string();
            assert!(err.contains(says), "{csv:?} gave {err:?}, which lacks {says:?}");
        }
    }
}
