//! The program's log, in redis-server's format, so that what reads one reads the other:
//!
//! ```text
//! 4711:M 22 Nov 2026 11:30:27.229 * Ready to accept connections tcp
//! pid:role  local time             level
//! ```
//!
//! The role is `M` (master), `S` (replica) or `C` (not serving yet; redis-server's `X`, a sentinel, does not occur
//! here). The levels are `#` warning, `*` notice, `-` verbose and `.` debug; in the code they are `warn` and `error`,
//! `info`, `debug` and `trace`. Fields follow the text as `name=value`, then the spans around it, the innermost
//! first: `[link id=3 peer=10.0.0.7:6379]`. With `log-format json` a line is a JSON object of the same parts.
//!
//! Only the program installs it; a library that embeds the node brings its own subscriber. Nothing is buffered: an
//! event is one write, and a log file is opened anew for each, as redis-server does, so that it may be renamed or
//! removed at any time and needs no signal afterwards. The node logs nothing per command, so the microseconds of an
//! open do not matter.

use std::{
    fmt::{self, Write as _},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::{LookupSpan, Registry},
};

/// The letter after the pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LogRole {
    /// Not serving yet.
    Starting = b'C',
    /// It takes its clients' writes.
    Master = b'M',
    /// It follows a master.
    Replica = b'S',
}

/// Where lines go.
#[derive(Clone, Debug)]
pub(crate) enum LogOutput {
    /// Standard output.
    Stdout,
    /// The end of a file, which is created where it does not exist.
    File(PathBuf),
}

impl LogOutput {
    fn open(path: &PathBuf) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).open(path)
    }

    /// Writes a line. A log that cannot be written is no reason to stop serving: the line goes to standard error.
    fn write(&self, line: &str) {
        let written = match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
            }
            Self::File(path) => Self::open(path).and_then(|mut file| file.write_all(line.as_bytes())),
        };
        if written.is_err() {
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }
}

/// What a line looks like (`log-format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// As redis-server's.
    Redis,
    /// One JSON object: `time` (UTC), `pid`, `role`, `level` (redis-server's names), `message`, `fields`, `spans`.
    Json,
}

impl LogFormat {
    /// What is not a format's name counts as `redis`.
    pub(crate) fn parse(name: &str) -> Self {
        if name.eq_ignore_ascii_case("json") { Self::Json } else { Self::Redis }
    }
}

/// What may change while the program runs. Clones change the same log.
#[derive(Clone, Debug)]
pub(crate) struct LogControls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// A [`LogRole`].
    role: AtomicU8,
    /// An index into [`LEVELS`].
    level: AtomicU8,
}

/// redis-server's names for what is logged, the least first.
const LEVELS: [(&str, LevelFilter); 5] = [
    ("nothing", LevelFilter::OFF),
    ("warning", LevelFilter::WARN),
    ("notice", LevelFilter::INFO),
    ("verbose", LevelFilter::DEBUG),
    ("debug", LevelFilter::TRACE),
];

impl LogControls {
    fn new(loglevel: &str) -> Self {
        let shared = Shared {
            role: AtomicU8::new(LogRole::Starting as u8),
            level: AtomicU8::new(level_index(loglevel)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Follows a change of the node's role.
    pub(crate) fn set_role(&self, role: LogRole) {
        self.shared.role.store(role as u8, Relaxed);
    }

    /// Follows a change of `loglevel`. What is not a level's name counts as `notice`.
    pub(crate) fn set_level(&self, loglevel: &str) {
        self.shared.level.store(level_index(loglevel), Relaxed);
        // Call sites remember whether anyone listens.
        tracing::callsite::rebuild_interest_cache();
    }

    fn level(&self) -> LevelFilter {
        LEVELS[usize::from(self.shared.level.load(Relaxed))].1
    }
}

fn level_index(loglevel: &str) -> u8 {
    let index = LEVELS.iter().position(|(name, _)| name.eq_ignore_ascii_case(loglevel)).unwrap_or(2);
    index as u8
}

/// Installs the log for the whole process.
///
/// # Errors
/// A log file that cannot be opened, or a subscriber that is installed already.
pub(crate) fn install(loglevel: &str, format: LogFormat, output: LogOutput) -> io::Result<LogControls> {
    if let LogOutput::File(path) = &output {
        LogOutput::open(path)?;
    }
    let (subscriber, controls) = subscriber(loglevel, format, output);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    Ok(controls)
}

fn subscriber(
    loglevel: &str,
    format: LogFormat,
    output: LogOutput,
) -> (impl Subscriber + Send + Sync, LogControls) {
    let controls = LogControls::new(loglevel);
    let layer = Lines { controls: controls.clone(), output, format, pid: std::process::id() };
    (Registry::default().with(layer), controls)
}

/// Turns events into lines.
struct Lines {
    controls: LogControls,
    output: LogOutput,
    format: LogFormat,
    pid: u32,
}

/// The fields of a span.
struct SpanFields(Vec<(&'static str, Value)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    /// Libraries below us are heard when they warn, and in full only under `debug`.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let level = self.controls.level();
        let is_ours = metadata.target().starts_with("rejoin");
        let level = if is_ours || level == LevelFilter::TRACE { level } else { level.min(LevelFilter::WARN) };
        *metadata.level() <= level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.controls.level())
    }

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut said = Said::default();
            attributes.record(&mut said);
            span.extensions_mut().insert(SpanFields(said.fields));
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<SpanFields>()
        {
            let mut said = Said { text: String::new(), fields: std::mem::take(&mut fields.0) };
            values.record(&mut said);
            fields.0 = said.fields;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let mut spans = Vec::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<SpanFields>().map(|fields| fields.0.clone()).unwrap_or_default();
            spans.push((span.name(), fields));
        }
        let role = self.controls.shared.role.load(Relaxed);
        let mut line = match self.format {
            LogFormat::Redis => redis_line(self.pid, role, *event.metadata().level(), &said, &spans),
            LogFormat::Json => json_line(self.pid, role, *event.metadata().level(), &said, spans),
        };
        line.push('\n');
        self.output.write(&line);
    }
}

type Spans = [(&'static str, Vec<(&'static str, Value)>)];

fn redis_line(pid: u32, role: u8, level: Level, said: &Said, spans: &Spans) -> String {
    let mut line = format!(
        "{pid}:{} {} {} ",
        char::from(role),
        jiff::Zoned::now().strftime("%d %b %Y %H:%M:%S%.3f"),
        level_mark(level)
    );
    let _ = write!(OneLine(&mut line), "{}", said.text);
    push_fields(&mut line, &said.fields);
    for (name, fields) in spans {
        let _ = write!(line, " [{name}");
        push_fields(&mut line, fields);
        line.push(']');
    }
    line
}

fn push_fields(line: &mut String, fields: &[(&'static str, Value)]) {
    for (name, value) in fields {
        let _ = write!(line, " {name}=");
        let _ = match value {
            Value::String(text) => write!(OneLine(line), "{text}"),
            other => write!(line, "{other}"),
        };
    }
}

fn json_line(
    pid: u32,
    role: u8,
    level: Level,
    said: &Said,
    spans: Vec<(&'static str, Vec<(&'static str, Value)>)>,
) -> String {
    let object = |fields: Vec<(&'static str, Value)>| {
        Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let spans: Vec<Value> =
        spans.into_iter().map(|(name, fields)| json!({"name": name, "fields": object(fields)})).collect();
    let mut line = json!({
        "time": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "pid": pid,
        "role": match role {
            b'M' => "master",
            b'S' => "replica",
            _ => "starting",
        },
        "level": level_name(level),
        "message": said.text,
    });
    // What there is none of is left out.
    if !said.fields.is_empty() {
        line["fields"] = object(said.fields.clone());
    }
    if !spans.is_empty() {
        line["spans"] = Value::Array(spans);
    }
    line.to_string()
}

/// redis-server's names, and `error` for what it has no name for.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "notice",
        Level::DEBUG => "verbose",
        Level::TRACE => "debug",
    }
}

fn level_mark(level: Level) -> char {
    match level {
        Level::ERROR | Level::WARN => '#',
        Level::INFO => '*',
        Level::DEBUG => '-',
        Level::TRACE => '.',
    }
}

/// What an event or a span says: the text and its fields.
#[derive(Default)]
struct Said {
    text: String,
    fields: Vec<(&'static str, Value)>,
}

impl Said {
    fn field(&mut self, field: &Field, value: Value) {
        match value {
            Value::String(text) if field.name() == "message" => self.text = text,
            value => self.fields.push((field.name(), value)),
        }
    }
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.field(field, value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, format!("{value:?}").into());
    }
}

/// Escapes control characters, so that what a peer sent cannot forge a line of its own.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if letter.is_control() {
                self.0.extend(letter.escape_default());
            } else {
                self.0.push(letter);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::fs;

    use tracing::{debug, error, info, info_span, trace, warn};

    use super::*;

    /// What `log` leaves in a file, line by line, without the pid.
    fn lines_of(loglevel: &str, log: impl FnOnce(&LogControls, &PathBuf)) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejoin.log");
        let (subscriber, controls) = subscriber(loglevel, LogFormat::Redis, LogOutput::File(path.clone()));
        tracing::subscriber::with_default(subscriber, || log(&controls, &path));
        let text = fs::read_to_string(&path).unwrap();
        let pid = format!("{}:", std::process::id());
        text.lines().map(|line| line.strip_prefix(&pid).expect("the pid comes first").to_owned()).collect()
    }

    #[test]
    fn a_json_line_has_the_same_parts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejoin.log");
        let (subscriber, controls) = subscriber("notice", LogFormat::Json, LogOutput::File(path.clone()));
        tracing::subscriber::with_default(subscriber, || {
            controls.set_role(LogRole::Replica);
            let span = info_span!("link", id = 3, peer = "10.0.0.7:6379");
            span.in_scope(|| warn!(wanted = 501u64, why = "a \"quoted\"\nline", "partial resync refused"));
            info!("Ready to accept connections tcp");
        });
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [refused, ready] = lines.as_slice() else { panic!("{text}") };
        assert_eq!(refused["level"], "warning");
        assert_eq!(refused["role"], "replica");
        assert_eq!(refused["pid"], std::process::id());
        assert_eq!(refused["message"], "partial resync refused");
        assert_eq!(refused["fields"], json!({"wanted": 501, "why": "a \"quoted\"\nline"}));
        assert_eq!(refused["spans"], json!([{"name": "link", "fields": {"id": 3, "peer": "10.0.0.7:6379"}}]));
        let time = refused["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24, "{time}");
        assert_eq!(ready["message"], "Ready to accept connections tcp");
        assert!(ready.get("fields").is_none() && ready.get("spans").is_none());
    }

    /// What follows the time.
    fn said(line: &str) -> &str {
        line.splitn(6, ' ').nth(5).expect("role, day, month, year, time")
    }

    #[test]
    fn a_line_has_the_form_of_redis_server() {
        let lines = lines_of("notice", |controls, _| {
            info!("first");
            controls.set_role(LogRole::Master);
            info!("second");
            controls.set_role(LogRole::Replica);
            info!("third");
        });
        let roles: String = lines.iter().map(|line| &line[..1]).collect();
        assert_eq!(roles, "CMS");
        let parts: Vec<&str> = lines[0].split(' ').collect();
        let [_, day, month, year, time, mark, text] = parts.as_slice() else { panic!("{lines:?}") };
        assert_eq!((day.len(), month.len(), year.len()), (2, 3, 4));
        let time_shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!((time_shape.as_str(), *mark, *text), ("00:00:00.000", "*", "first"));
    }

    #[test]
    fn levels_are_those_of_redis_and_can_change() {
        let all = |controls: &LogControls| {
            for level in ["warning", "notice", "verbose", "debug"] {
                controls.set_level(level);
                error!("{level}");
                warn!("{level}");
                info!("{level}");
                debug!("{level}");
                trace!("{level}");
                info!(target: "quinn", "{level} below us");
            }
        };
        let lines = lines_of("nothing", |controls, _| {
            error!("not heard");
            all(controls);
        });
        let count = |level: &str| lines.iter().filter(|line| said(line).ends_with(level)).count();
        assert_eq!((count("warning"), count("notice"), count("verbose"), count("debug")), (2, 3, 4, 5));
        assert_eq!(lines.iter().filter(|line| line.ends_with("below us")).count(), 1);
        let marks: String = lines[9..14].iter().map(|line| &said(line)[..1]).collect();
        assert_eq!(marks, "##*-.");
    }

    #[test]
    fn fields_and_spans_follow_the_text() {
        let lines = lines_of("notice", |_, _| {
            let span = info_span!("link", id = 3, peer = tracing::field::Empty);
            span.record("peer", "10.0.0.7:6379");
            let _outer = span.enter();
            let _inner = info_span!("sync").entered();
            info!(wanted = 501, have = %"900..1200", "partial resync refused");
        });
        assert_eq!(
            said(&lines[0]),
            "* partial resync refused wanted=501 have=900..1200 [sync] [link id=3 peer=10.0.0.7:6379]"
        );
    }

    #[test]
    fn what_a_peer_sent_stays_on_its_line() {
        let lines =
            lines_of("notice", |_, _| info!(reply = "-ERR\r\n4711:M forged", "master said {}", "a\nb"));
        assert_eq!(lines.len(), 1);
        assert_eq!(said(&lines[0]), r"* master said a\nb reply=-ERR\r\n4711:M forged");
    }

    #[test]
    fn a_renamed_file_is_left_behind() {
        let lines = lines_of("notice", |_, path| {
            info!("before");
            fs::rename(path, path.with_extension("1")).unwrap();
            info!("after");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(said(&lines[0]), "* after");
    }
}
