mod svg;

use svg::Svg;

use super::matching::pair;
use super::{Detection, EvalConfig, Label};
use crate::Timestamp;

/// One lane of a [`Plot`]: values over time, drawn as columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What it is, for example `chat_burst burst (z)`.
    pub name: String,
    /// Values in any order; negative ones are drawn as zero.
    pub points: Vec<(Timestamp, f64)>,
    /// A level to mark.
    pub threshold: Option<f64>,
}

/// A picture of one stream: signals with their thresholds, moments, and labels where there are any.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The heading.
    pub title: String,
    /// The first instant shown.
    pub from: Timestamp,
    /// The last instant shown.
    pub to: Timestamp,
    /// One lane each, from the top.
    pub traces: Vec<Trace>,
    /// What was found, of this stream.
    pub detections: Vec<Detection>,
    /// What is true, of this stream.
    pub labels: Vec<Label>,
    /// The rules by which a detection is drawn as a hit.
    pub config: EvalConfig,
}

const WIDTH: f64 = 1400.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 30.0;
const INNER: f64 = WIDTH - LEFT - RIGHT;
const TOP: f64 = 56.0;
const BAND: f64 = 18.0;
const LANE: f64 = 64.0;
const GAP: f64 = 6.0;
const AXIS: f64 = 30.0;
/// A row shows half an hour; longer streams are folded into rows.
const ROW_SECS: f64 = 1800.0;
/// More rows than this are not drawn: four days.
const MAX_ROWS: usize = 200;

const STYLE: &str = "
text{font:12px system-ui,sans-serif;fill:#222}.small{font-size:10.5px;fill:#555}.title{font-size:16px;font-weight:600}
.paper{fill:#fff}.lane{fill:#f6f7f9}.grid{stroke:#dfe3e8;stroke-width:1}.column{fill:#4a6fa5}
.threshold{stroke:#b3261e;stroke-width:1;stroke-dasharray:5 3}
.found{fill:#2e7d32}.missed{fill:#fff;stroke:#b3261e;stroke-width:1.5}.late{fill:#2e7d32;opacity:.15}
.hit{fill:#1565c0;opacity:.75}.false{fill:#e07b00;opacity:.75}.clip{fill:#1565c0;opacity:.07}
.hitmark{fill:#0d3f7a}.falsemark{fill:#8a3d00}.hit,.false{stroke:#fff;stroke-width:1}
";

impl Plot {
    /// Draws it as a stand-alone SVG of 1400 pixels' width; longer streams are folded into rows of half an hour.
    pub fn to_svg(&self) -> String {
        let mut svg = Svg::new(WIDTH);
        let mut found = self.detections.clone();
        found.sort_by_key(|d| (d.peak, d.decided_at));
        let mut labels = self.labels.clone();
        labels.sort_by_key(|l| (l.start, l.end));
        let pairs = pair(&found, &labels, self.config.tolerance);
        let length = self.to.secs_since(self.from).max(1.0);
        let rows = ((length / ROW_SECS).ceil() as usize).clamp(1, MAX_ROWS);
        let row_secs = if rows == 1 { length } else { ROW_SECS };
        self.heading(&mut svg, &pairs, labels.len());
        let mut y = TOP;
        for row in 0..rows {
            let from = self.from.offset_micros((row as f64 * row_secs * 1e6) as i64);
            let window = Window { from, secs: row_secs };
            let mut row = Row { svg: &mut svg, window, end: window.x(self.to), y };
            row.grid(BAND * 2.0 + GAP + self.traces.len() as f64 * (LANE + GAP));
            row.labels(&labels, &pairs, self.config.tolerance);
            row.moments(&found, &pairs);
            for trace in &self.traces {
                let top = trace.points.iter().map(|p| p.1).chain(trace.threshold).fold(0.0, f64::max);
                row.trace(trace, top);
            }
            y = row.y + AXIS;
        }
        svg.finish(y, STYLE)
    }

    fn heading(&self, svg: &mut Svg, pairs: &[Option<usize>], labels: usize) {
        svg.text(LEFT, 22.0, "start", "title", &self.title);
        let hits = pairs.iter().flatten().count();
        let entries = [
            ("found", format!("label found ({hits})")),
            ("missed", format!("label missed ({})", labels - hits)),
            ("late", "its tolerance".to_owned()),
            ("hit", format!("moment that hits ({hits})")),
            ("false", format!("moment without a label ({})", pairs.len() - hits)),
            ("hitmark", "its peak".to_owned()),
            ("threshold", "threshold".to_owned()),
        ];
        // A threshold that no lane has needs no explanation.
        let marked = self.traces.iter().any(|t| t.threshold.is_some());
        let entries = entries.into_iter().filter(|(class, _)| marked || *class != "threshold");
        let mut x = LEFT;
        for (class, text) in entries {
            match class {
                "threshold" => svg.line((x, 38.0), (x + 13.0, 38.0), class),
                _ => svg.rect(x, 33.0, 12.0, 10.0, class, ""),
            }
            svg.text(x + 17.0, 42.0, "start", "small", &text);
            x += 34.0 + 6.2 * text.chars().count() as f64;
        }
    }
}

/// A stretch of the stream and where it lies on the paper.
#[derive(Clone, Copy)]
struct Window {
    from: Timestamp,
    secs: f64,
}

impl Window {
    fn x(self, at: Timestamp) -> f64 {
        LEFT + (at.secs_since(self.from) / self.secs).clamp(0.0, 1.0) * INNER
    }

    fn shows(self, from: Timestamp, to: Timestamp) -> bool {
        to.secs_since(self.from) >= 0.0 && from.secs_since(self.from) <= self.secs
    }
}

/// A row being drawn; `y` is where its next lane begins.
struct Row<'a> {
    svg: &'a mut Svg,
    window: Window,
    /// Where the stream ends in this row.
    end: f64,
    y: f64,
}

impl Row<'_> {
    fn grid(&mut self, height: f64) {
        let window = self.window;
        let step = [5.0, 10.0, 30.0, 60.0, 120.0, 300.0].into_iter().find(|s| window.secs / s <= 16.0);
        let step = step.unwrap_or(600.0);
        let first = (window.from.as_secs_f64() / step).ceil() * step;
        let last = window.from.as_secs_f64() + window.secs;
        let mut t = first;
        while t <= last {
            let x = LEFT + (t - window.from.as_secs_f64()) / window.secs * INNER;
            self.svg.line((x, self.y), (x, self.y + height), "grid");
            self.svg.text(x, self.y + height + 12.0, "middle", "small", &clock(t));
            t += step;
        }
    }

    fn name(&mut self, text: &str, height: f64) {
        self.svg.text(LEFT - 8.0, self.y + height / 2.0 + 4.0, "end", "name", text);
    }

    fn labels(&mut self, labels: &[Label], pairs: &[Option<usize>], tolerance: std::time::Duration) {
        let window = self.window;
        self.name("labels", BAND);
        for (i, l) in labels.iter().enumerate().filter(|(_, l)| window.shows(l.start, l.end + tolerance)) {
            let (x, end, late) = (window.x(l.start), window.x(l.end), window.x(l.end + tolerance));
            let class = if pairs.contains(&Some(i)) { "found" } else { "missed" };
            let title = format!(
                "{} {}–{}",
                l.kind.as_deref().unwrap_or("label"),
                clock(l.start.as_secs_f64()),
                clock(l.end.as_secs_f64())
            );
            self.svg.rect(end, self.y + 4.0, late - end, BAND - 8.0, "late", "");
            if window.shows(l.start, l.end) {
                self.svg.rect(x, self.y + 2.0, (end - x).max(3.0), BAND - 4.0, class, &title);
            }
        }
        self.y += BAND;
    }

    fn moments(&mut self, found: &[Detection], pairs: &[Option<usize>]) {
        let window = self.window;
        self.name("moments", BAND);
        let (mut upper_until, half) = (Timestamp::MIN, (BAND - 4.0) / 2.0);
        for (d, hit) in found.iter().zip(pairs) {
            // Clips that overlap lie one above the other.
            let lower = d.span.start < upper_until;
            if !lower {
                upper_until = d.span.end;
            }
            if !window.shows(d.span.start, d.span.end.max(d.peak)) {
                continue;
            }
            let top = self.y + if lower { 3.0 + half } else { 3.0 };
            let (x, end) = (window.x(d.span.start), window.x(d.span.end));
            let (class, mark) = if hit.is_some() { ("hit", "hitmark") } else { ("false", "falsemark") };
            let title = format!(
                "peak {}, decided {}, score {:.2}",
                clock(d.peak.as_secs_f64()),
                clock(d.decided_at.as_secs_f64()),
                d.score
            );
            self.svg.rect(x, top, (end - x).max(2.0), half, class, &title);
            if window.shows(d.peak, d.peak) {
                self.svg.rect(window.x(d.peak) - 1.0, top - 2.0, 2.5, half + 4.0, mark, &title);
            }
        }
        self.y += BAND + GAP;
    }

    /// One column a pixel, as high as the largest value in it.
    fn trace(&mut self, trace: &Trace, top: f64) {
        let window = self.window;
        self.svg.rect(LEFT, self.y, self.end - LEFT, LANE, "lane", "");
        let scale = if top > 0.0 { (LANE - 4.0) / top } else { 0.0 };
        let mut columns = vec![0.0_f64; INNER as usize + 1];
        for (at, value) in trace.points.iter().filter(|(at, v)| window.shows(*at, *at) && v.is_finite()) {
            let column = &mut columns[(window.x(*at) - LEFT) as usize];
            *column = column.max(*value);
        }
        let bottom = self.y + LANE;
        let mut from = None;
        for i in 0..=columns.len() {
            match (columns.get(i).is_some_and(|v| *v > 0.0), from) {
                (true, None) => from = Some(i),
                (false, Some(start)) => {
                    let mut points = vec![(LEFT + start as f64, bottom)];
                    for (k, value) in columns[start..i].iter().enumerate() {
                        let (x, y) = (LEFT + (start + k) as f64, bottom - value * scale);
                        points.extend([(x, y), (x + 1.0, y)]);
                    }
                    points.push((LEFT + i as f64, bottom));
                    self.svg.path(&points, "column", &trace.name);
                    from = None;
                }
                _ => {}
            }
        }
        for (i, line) in trace.name.splitn(2, ' ').enumerate() {
            self.svg.text(LEFT - 8.0, self.y + 16.0 + 14.0 * i as f64, "end", "name", line);
        }
        self.svg.text(LEFT - 8.0, bottom - 4.0, "end", "small", &format!("max {}", short(top)));
        if let Some(threshold) = trace.threshold {
            let y = bottom - threshold * scale;
            self.svg.line((LEFT, y), (self.end, y), "threshold");
            self.svg.text(LEFT + 3.0, y - 3.0, "start", "small", &short(threshold));
        }
        self.y += LANE + GAP;
    }
}

fn short(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Seconds as h:mm:ss, or m:ss in the first hour.
fn clock(secs: f64) -> String {
    let (sign, s) = (if secs < 0.0 { "-" } else { "" }, secs.abs().round() as u64);
    match s / 3600 {
        0 => format!("{sign}{}:{:02}", s / 60, s % 60),
        h => format!("{sign}{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamId;
    use crate::cutter::Span;

    fn plot(hours: i64) -> Plot {
        let at = Timestamp::from_secs;
        let stream = StreamId::new("s").unwrap();
        let detection = |peak: i64| Detection {
            stream: stream.clone(),
            span: Span { start: at(peak - 20), end: at(peak + 5) },
            peak: at(peak),
            told_at: at(peak),
            decided_at: at(peak),
            score: 3.25,
        };
        let label =
            |start: i64| Label { stream: stream.clone(), start: at(start), end: at(start + 9), kind: None };
        Plot {
            title: "a <stream> & its moments".into(),
            from: at(0),
            to: at(3600 * hours),
            traces: vec![Trace {
                name: "chat messages/s".into(),
                points: (0..3600 * hours).map(|s| (at(s), (s % 60) as f64)).collect(),
                threshold: Some(45.0),
            }],
            detections: vec![detection(120), detection(900)],
            labels: vec![label(105), label(600)],
            config: EvalConfig::default(),
        }
    }

    #[test]
    fn hits_misses_and_false_alarms_are_told_apart() {
        let svg = plot(1).to_svg();
        for (class, times) in [("found", 1), ("missed", 1), ("hit", 1), ("false", 1), ("threshold", 2)] {
            // Each class stands once more in the legend.
            let seen = svg.matches(&format!("class=\"{class}\"")).count();
            assert_eq!(seen, times + 1, "{class}");
        }
        assert!(svg.contains("a &lt;stream&gt; &amp; its moments"));
        assert!(svg.contains("peak 2:00, decided 2:00, score 3.25"));
    }

    #[test]
    fn long_streams_fold_and_absurd_ones_stay_bounded() {
        let rows = |svg: &str| svg.matches("class=\"lane\"").count();
        assert_eq!(rows(&plot(1).to_svg()), 2);
        assert_eq!(rows(&plot(5).to_svg()), 10);
        let mut absurd = plot(1);
        absurd.to = Timestamp::MAX;
        assert_eq!(rows(&absurd.to_svg()), MAX_ROWS);
        let mut empty = plot(1);
        (empty.from, empty.to) = (Timestamp::from_secs(5), Timestamp::from_secs(5));
        empty.traces[0].points = vec![(Timestamp::from_secs(5), f64::NAN)];
        assert!(!empty.to_svg().contains("NaN"));
    }
}
