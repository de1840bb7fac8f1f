//! Checks of logs on servers: several processes use them, and networks fail.

use std::time::Duration;

use serde_json::json;

use super::{done, id, marker, read_all};
use crate::log::{Checkpoint, EventLog, Lease};
use crate::{ErrorKind, Result};

/// Runs the checks of a log that several processes share; each call of `open` gives another process's view of the
/// same log, which is empty at first.
///
/// # Panics
/// As [`log`](super::log).
pub async fn log_shared<L: EventLog>(open: impl AsyncFn() -> Result<L>) {
    let (one, two) = (done("open", open().await), done("open", open().await));
    assert_eq!(one.partitions(), two.partitions(), "two processes see different partitions");

    let (calls, each) = (20, 3);
    let append = async |log: &L, name: &str| {
        for call in 0..calls {
            let records: Vec<_> = (0..each).map(|i| marker(&format!("{name}-{call}-{i}"))).collect();
            done("append", log.append(0, &records).await);
        }
    };
    futures::join!(append(&one, "one"), append(&two, "two"));
    let seen: Vec<_> = read_all(&one, 0, 7).await.into_iter().map(|(o, r)| (o, id(&r))).collect();
    let same: Vec<_> = read_all(&two, 0, 50).await.into_iter().map(|(o, r)| (o, id(&r))).collect();
    assert_eq!(seen, same, "two processes read different logs");
    for name in ["one", "two"] {
        let of: Vec<_> = seen.iter().map(|(_, id)| id).filter(|id| id.starts_with(name)).collect();
        let sent: Vec<_> =
            (0..calls).flat_map(|call| (0..each).map(move |i| format!("{name}-{call}-{i}"))).collect();
        assert!(of.into_iter().eq(&sent), "appends of two processes were lost, doubled or reordered");
    }

    let old = done("acquire", one.acquire(0, "one").await);
    let state = |by: &str| Checkpoint { next: 3, state: json!(by) };
    done("checkpoint", one.checkpoint(&old, "c", &state("one")).await);
    let new = done("acquire", two.acquire(0, "two").await);
    assert!(new.token > old.token, "the later owner must have the larger token");
    let (late, good) = (state("revenant"), state("two"));
    let both = futures::join!(one.checkpoint(&old, "c", &late), two.checkpoint(&new, "c", &good));
    assert_eq!(
        both.0.err().map(|e| e.kind()),
        Some(ErrorKind::Conflict),
        "an owner that does not know yet that it was followed must be refused"
    );
    done("checkpoint of the owner", both.1);
    for log in [&one, &two] {
        assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "c").await), Some(state("two")));
    }

    // Both at once: one may be told that the other was faster, but exactly one has the partition in the end.
    let both = futures::join!(one.acquire(0, "one"), two.acquire(0, "two"));
    let mut owners = 0;
    let mut tokens = vec![new.token];
    for (log, lease) in [(&one, both.0), (&two, both.1)] {
        match lease {
            Ok(lease) => {
                assert!(!tokens.contains(&lease.token), "two owners have one token");
                tokens.push(lease.token);
                match log.checkpoint(&lease, "race", &state("race")).await {
                    Ok(()) => owners += 1,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e}"),
                }
            }
            Err(e) => assert!(e.is_retryable(), "acquire failed: {e}"),
        }
    }
    assert_eq!(owners, 1, "of two owners at once exactly one has the partition");
}

/// Runs the checks of a log whose partitions several workers claim; each call of `open` gives another process's view of the
/// same log, which is empty at first. Claims are made for `span`, of which it waits for up to ten.
///
/// # Panics
/// As [`log`](super::log).
pub async fn log_claimed<L: EventLog>(
    open: impl AsyncFn() -> Result<L>,
    span: Duration,
    sleep: impl AsyncFn(Duration),
) {
    let (one, two) = (done("open", open().await), done("open", open().await));
    let claim = async |log: &L, name: &str| done("claim", log.claim(0, name, span).await);
    let Some(first) = claim(&one, "one").await else {
        panic!("nobody has the partition, and it is not given")
    };
    for log in [&two, &one] {
        assert_eq!(claim(log, "two").await, None, "a partition that is claimed is given to another");
    }
    done("append of the owner", one.append_as(&first, &[marker("first")]).await);
    for _ in 0..5 {
        sleep(span / 2).await;
        done("renew", one.renew(&first, span).await);
        assert_eq!(claim(&two, "two").await, None, "a claim that is renewed has run out");
    }

    let none = Duration::ZERO;
    for (log, worker, span, there) in
        [(&one, "one", span, 1), (&two, "two", span, 2), (&one, "two", span, 2), (&one, "one", none, 1)]
    {
        assert_eq!(done("attend", log.attend(worker, span).await), there, "workers are counted wrong");
    }
    done("renew for no time", one.renew(&first, Duration::ZERO).await);
    let Some(second) = claim(&two, "two").await else { panic!("what was given back is still held") };
    assert!(second.token > first.token, "a later lease must have a larger token");
    refuses(&one, &first, span).await;

    // Its owner has died and been started again.
    let again = done("open", open().await);
    let Some(back) = claim(&again, "two").await else { panic!("what it had is not given to an owner again") };
    refuses(&two, &second, span).await;
    let second = back;
    let two = again;

    // It runs out while its owner lives on and does not know.
    let (mut third, mut there) = (None, 0);
    for _ in 0..15 {
        sleep(span / 3).await;
        there = done("attend", one.attend("one", span).await);
        if third.is_none() {
            third = claim(&one, "one").await;
        }
        if third.is_some() && there == 1 {
            break;
        }
    }
    assert_eq!(there, 1, "a worker that says nothing any more is counted");
    let Some(third) = third else { panic!("a claim that nobody renews does not run out") };
    assert!(third.token > second.token);
    refuses(&two, &second, span).await;
    refuses(&two, &first, span).await;
    done("append of the owner", one.append_as(&third, &[marker("third")]).await);
    done(
        "checkpoint of the owner",
        one.checkpoint(&third, "c", &Checkpoint { next: 1, state: json!(1) }).await,
    );
    done("renew of the owner", one.renew(&third, span).await);
    let ids: Vec<_> = read_all(&two, 0, 10).await.iter().map(|(_, record)| id(record)).collect();
    assert_eq!(ids, ["first", "third"], "what was refused left a trace, or what was taken is not there");
    let fourth = done("acquire", two.acquire(0, "two").await);
    assert!(fourth.token > third.token);
    refuses(&one, &third, span).await;
    seizing_fences_and_gives_back(&one, &two, &fourth, span, &sleep).await;
}

/// A log whose partitions stay with their owners says so.
async fn seizing_fences_and_gives_back<L: EventLog>(
    one: &L,
    two: &L,
    owner: &Lease,
    span: Duration,
    sleep: &impl AsyncFn(Duration),
) {
    done("renew", two.renew(owner, span).await);
    let seized = match one.seize(0, "eraser", span).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        seized => done("seize", seized),
    };
    let Some(seized) = seized else { panic!("a partition that is claimed cannot be seized") };
    assert!(seized.token > owner.token);
    refuses(two, owner, span).await;
    assert_eq!(done("seize", two.seize(0, "another", span).await), None, "what is seized is seized again");
    for name in ["two", "three"] {
        assert_eq!(done("claim", two.claim(0, name, span).await), None, "what is seized is given to {name}");
    }
    done("renew of what is seized", one.renew(&seized, span).await);
    done("hand_back", one.hand_back(&seized).await);
    assert_eq!(done("claim", one.claim(0, "three", span).await), None, "another gets what is handed back");
    let Some(back) = done("claim", two.claim(0, "two", span).await) else {
        panic!("its former owner does not get it back")
    };
    assert!(back.token > seized.token);
    let late = one.hand_back(&seized).await.err().map(|e| e.kind());
    assert_eq!(late, Some(ErrorKind::Conflict), "what somebody else has by now is handed back");
    done("append of the owner", two.append_as(&back, &[marker("back")]).await);

    // Who has seized it has died; its former owner, too.
    assert!(done("seize", one.seize(0, "eraser", span).await).is_some());
    for _ in 0..15 {
        sleep(span / 3).await;
        if done("claim", one.claim(0, "three", span).await).is_some() {
            return;
        }
    }
    panic!("a partition that was seized is never free again");
}

/// Nothing is taken from an owner whose lease is stale.
async fn refuses<L: EventLog>(log: &L, lease: &Lease, span: Duration) {
    let saved = Checkpoint { next: 9, state: json!("stale") };
    for (what, result) in [
        ("an append", log.append_as(lease, &[marker("stale")]).await.map(drop)),
        ("a checkpoint", log.checkpoint(lease, "c", &saved).await),
        ("a claim's renewal", log.renew(lease, span).await),
    ] {
        assert_eq!(
            result.err().map(|e| e.kind()),
            Some(ErrorKind::Conflict),
            "{what} of a stale owner is taken"
        );
    }
}

/// Runs the checks of a log behind a network, `log` being empty at first. After `cut`, requests still reach the log
/// but answers no longer come back; `mend` ends that. Calls must fail while it lasts, so give the log a short time-out.
///
/// # Panics
/// As [`log`](super::log).
pub async fn log_interrupted<L: EventLog>(log: &L, cut: impl AsyncFn(), mend: impl AsyncFn()) {
    let before = done("append", log.append(0, &[marker("before")]).await);
    let lease = done("acquire", log.acquire(0, "owner").await);
    let records = [marker("a"), marker("b")];
    for round in 0..2 {
        cut().await;
        let result = log.append(0, &records).await;
        let Err(e) = result else { panic!("an append whose answer was lost is acknowledged") };
        assert!(e.is_retryable(), "the failure of a network can pass, but this says otherwise: {e}");
        if round == 1 {
            let again = log.append(0, &records).await;
            assert!(again.is_err_and(|e| e.is_retryable()), "and so can a second failure");
        }
        mend().await;
        // Another call in between must neither be taken for the repeated one nor disturb it.
        let between = done("append", log.append(0, &[marker("between")]).await);
        let first = done("the repeated append", log.append(0, &records).await);
        let all = read_all(log, 0, 100).await;
        let ids: Vec<_> = all.iter().map(|(_, r)| id(r)).collect();
        let times = |wanted: &str| ids.iter().filter(|id| *id == wanted).count();
        assert_eq!(
            (times("a"), times("b")),
            (round + 1, round + 1),
            "an append took effect not once: {ids:?}"
        );
        assert_eq!(times("between"), round + 1, "another append was lost or doubled: {ids:?}");
        let at = all.iter().position(|(offset, _)| *offset == first);
        let Some(at) = at else { panic!("the repeated append gave offset {first}, where nothing is") };
        assert!(ids[at] == "a" && ids[at + 1] == "b", "the repeated append gave another offset: {ids:?}");
        assert!(first > before && between > before);
    }
    let checkpoint = |next| Checkpoint { next, state: json!(next) };
    cut().await;
    let refused = log.checkpoint(&lease, "c", &checkpoint(1)).await;
    assert!(refused.is_err_and(|e| e.is_retryable()), "a checkpoint whose answer was lost is acknowledged");
    mend().await;
    done("the repeated checkpoint", log.checkpoint(&lease, "c", &checkpoint(1)).await);
    done("a later checkpoint", log.checkpoint(&lease, "c", &checkpoint(2)).await);
    assert_eq!(done("last_checkpoint", log.last_checkpoint(0, "c").await), Some(checkpoint(2)));
    cut().await;
    let refused = log.acquire(0, "next").await;
    assert!(refused.is_err_and(|e| e.is_retryable()), "a lease whose token was lost is given");
    mend().await;
    let next = done("acquire", log.acquire(0, "next").await);
    assert!(next.token > lease.token);
    done("checkpoint of the new owner", log.checkpoint(&next, "c", &checkpoint(3)).await);
}
