use std::time::Duration;

use super::*;
use crate::StreamId;
use crate::conformance::sink as kit;
use crate::cutter::ClipState;
use crate::sink::ClipSink;

async fn count(catalog: &Catalog) -> usize {
    catalog.feed(0, None, 1000).await.unwrap().len()
}

#[tokio::test]
async fn conforms() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dirs = Mutex::new(Vec::new());
    let make = async || {
        let dir = tempfile::tempdir()?;
        let catalog = Catalog::open(dir.path()).await;
        dirs.lock().unwrap().push(dir);
        catalog
    };
    let items = |catalog: &Catalog| {
        let db = catalog.inner.db.lock().unwrap();
        db.sql.query_row("SELECT count(*) FROM transitions", [], |row| row.get::<_, i64>(0)).unwrap() as usize
    };
    kit::sink(make, async |catalog| items(catalog), file.path()).await;
    let dir = tempfile::tempdir().unwrap();
    let open = async || Catalog::open(dir.path()).await;
    kit::sink_reopened(open, async |catalog: &Catalog| items(catalog), file.path()).await;
}

#[tokio::test]
async fn pages_and_filters_give_each_item_once_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).await.unwrap();
    for n in 0..7 {
        for rev in [1, 2] {
            let stream = if n % 2 == 0 { "even" } else { "odd" };
            catalog.deliver(&kit::moment(stream, &format!("m{n}"), rev)).await.unwrap();
        }
    }
    let mut seen = Vec::new();
    let mut query = MomentQuery { limit: 3, ..MomentQuery::default() };
    loop {
        let page = catalog.moments(query.clone()).await.unwrap();
        for item in page.items {
            let moment: crate::fusion::Moment = serde_json::from_str(item.get()).unwrap();
            assert_eq!(moment.rev, 2);
            seen.push(moment.id.to_string());
        }
        let Some(next) = page.next else { break };
        query.cursor = Some(next.parse().unwrap());
    }
    assert_eq!(seen, ["m6", "m5", "m4", "m3", "m2", "m1", "m0"]);
    let odd =
        MomentQuery { stream: Some(StreamId::new("odd").unwrap()), limit: 10, ..MomentQuery::default() };
    assert_eq!(catalog.moments(odd).await.unwrap().items.len(), 3);
    let none = MomentQuery { label: Some("' OR 1=1 --".into()), limit: 10, ..MomentQuery::default() };
    assert!(catalog.moments(none).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn the_feed_goes_on_where_a_reader_was_and_older_revisions_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).await.unwrap();
    let mut watch = catalog.watch();
    catalog.deliver(&kit::moment("s", "a", 2)).await.unwrap();
    catalog.deliver(&kit::moment("s", "a", 1)).await.unwrap();
    catalog.deliver(&kit::clip("s", "c", ClipState::Pending, None)).await.unwrap();
    assert!(watch.has_changed().unwrap());
    let latest = *watch.borrow_and_update();
    let all = catalog.feed(0, None, 10).await.unwrap();
    assert_eq!(all.last().unwrap().seq, latest);
    drop(catalog);
    let catalog = Catalog::open(dir.path()).await.unwrap();
    let rest = catalog.feed(all[1].seq, None, 10).await.unwrap();
    assert_eq!((rest.len(), rest[0].kind), (1, FeedKind::Clip));
    let now = catalog.find(FeedKind::Moment, "a").await.unwrap().unwrap();
    assert!(now.get().contains("\"rev\":2"), "{now}");
    assert!(catalog.find(FeedKind::Clip, "a").await.unwrap().is_none());
}

#[tokio::test]
async fn an_empty_catalog_is_filled_from_the_files_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let lines = crate::sink::JsonlSink::open(dir.path()).await.unwrap();
    for item in [kit::moment("s", "a", 1), kit::clip("s", "c", ClipState::Failed, None)] {
        lines.deliver(&item).await.unwrap();
    }
    let catalog = Catalog::open(dir.path()).await.unwrap();
    assert_eq!(count(&catalog).await, 2);
    assert!(catalog.deliver(&kit::moment("s", "a", 1)).await.unwrap().duplicate);
}

#[tokio::test]
async fn verdicts_are_what_tune_reads() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(dir.path()).await.unwrap();
    let time = WallTime::from_unix_micros(1_700_000_000_000_000);
    for verdict in [Verdict::Approved, Verdict::Rejected] {
        let said =
            Said { moment: "m".into(), clip: None, verdict, by: Some("anna".into()), note: None, time };
        catalog.say(said).await.unwrap();
    }
    assert_eq!(catalog.said("m").await.unwrap()[0].verdict, Verdict::Rejected);
    let file = std::fs::File::open(dir.path().join("feedback.jsonl")).unwrap();
    let read = crate::tune::read_feedback(std::io::BufReader::new(file)).unwrap();
    assert_eq!(read.iter().map(|f| f.verdict).collect::<Vec<_>>(), [Verdict::Approved, Verdict::Rejected]);
}

#[tokio::test]
async fn answers_are_remembered_for_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    let at = |days: i64| WallTime::from_unix_micros(days * 86_400_000_000);
    let catalog = Catalog::open(dir.path()).await.unwrap();
    let answer = Answer { status: 202, body: "{}".into() };
    let (key, body) = (|| "k".to_owned(), || "digest".to_owned());
    assert_eq!(catalog.recall(key(), body()).await.unwrap(), Recalled::New);
    catalog.keep_answer(key(), body(), answer.clone(), at(1), day).await.unwrap();
    drop(catalog);
    let catalog = Catalog::open(dir.path()).await.unwrap();
    assert_eq!(catalog.recall(key(), body()).await.unwrap(), Recalled::Same(answer.clone()));
    assert_eq!(catalog.recall(key(), "another".into()).await.unwrap(), Recalled::Other);
    catalog.keep_answer("other".into(), body(), answer, at(3), day).await.unwrap();
    assert_eq!(catalog.recall(key(), body()).await.unwrap(), Recalled::New);
}
