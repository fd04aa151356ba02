//! One question to several endpoints at once, where a later answer may be better than the first.
//!
//! Knows only answers that come at some time, so that its rules can be tested without any network.

use std::time::Duration;

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

/// An answer that will come or fail, each within a time of its own.
pub(super) type Asked<'a, T, E> = BoxFuture<'a, Result<T, E>>;

/// A second question, for when the first has had no answer.
pub(super) struct Second<'a, T, E> {
    /// When it is asked, from the start; earlier when everybody has failed by then.
    pub(super) after: Duration,
    /// Asks it.
    pub(super) ask: Box<dyn FnOnce() -> Vec<Asked<'a, T, E>> + Send + 'a>,
}

/// How a race went.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Won<T> {
    /// The answer taken.
    pub(super) answer: T,
    /// Whether the second question had been asked by then.
    pub(super) second_asked: bool,
}

/// Takes the best of the answers that come within `wait`, else the first that comes after. Once the second question is
/// asked, the first answer is taken, whichever it belongs to. Ends early when everybody has answered.
///
/// # Errors
/// Every failure, in the order they came, when nobody answers.
pub(super) async fn run<'a, T, E, K: Ord>(
    first: Vec<Asked<'a, T, E>>,
    second: Option<Second<'a, T, E>>,
    wait: Duration,
    rank: impl Fn(&T) -> K,
) -> Result<Won<T>, Vec<E>> {
    let start = Instant::now();
    let mut open: FuturesUnordered<_> = first.into_iter().collect();
    let (mut second, mut second_asked) = (second, false);
    let (mut best, mut failures) = (None::<T>, Vec::new());
    loop {
        let passed = start.elapsed();
        best = match best {
            Some(answer) if open.is_empty() || second_asked || passed >= wait => {
                return Ok(Won {
                    answer,
                    second_asked,
                });
            }
            other => other,
        };
        if best.is_none()
            && let Some(question) =
                second.take_if(|second| open.is_empty() || passed >= second.after)
        {
            open.extend((question.ask)());
            second_asked = true;
        }
        if best.is_none() && open.is_empty() {
            return Err(failures);
        }
        let until = match (&best, &second) {
            (Some(_), _) => Some(wait),
            (None, second) => second.as_ref().map(|second| second.after),
        };
        match next(&mut open, start, until).await {
            Some(Ok(answer)) if best.as_ref().is_none_or(|best| rank(&answer) > rank(best)) => {
                best = Some(answer);
            }
            Some(Err(failure)) => failures.push(failure),
            Some(Ok(_)) | None => {}
        }
    }
}

/// The next that ends, or `None` at a point in time.
async fn next<T, E>(
    open: &mut FuturesUnordered<Asked<'_, T, E>>,
    start: Instant,
    until: Option<Duration>,
) -> Option<Result<T, E>> {
    // A point beyond what clocks can hold is never reached.
    match until.and_then(|until| start.checked_add(until)) {
        Some(until) => timeout_at(until, open.next()).await.ok().flatten(),
        None => open.next().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt as _;
    use tokio::time::sleep;

    use super::*;

    type Answers = Vec<Asked<'static, u32, &'static str>>;

    /// Answers, each after so many milliseconds.
    fn asked(answers: &[(u64, Result<u32, &'static str>)]) -> Answers {
        answers
            .iter()
            .map(|&(after, result)| {
                async move {
                    sleep(Duration::from_millis(after)).await;
                    result
                }
                .boxed()
            })
            .collect()
    }

    fn second(
        after: u64,
        answers: &'static [(u64, Result<u32, &'static str>)],
    ) -> Option<Second<'static, u32, &'static str>> {
        Some(Second {
            after: Duration::from_millis(after),
            ask: Box::new(|| asked(answers)),
        })
    }

    /// The outcome and after how many milliseconds it came, when 100 are waited for better ones.
    async fn race(
        first: &[(u64, Result<u32, &'static str>)],
        second: Option<Second<'static, u32, &'static str>>,
    ) -> (Result<(u32, bool), Vec<&'static str>>, u128) {
        let start = Instant::now();
        let result = run(asked(first), second, Duration::from_millis(100), |&value| {
            value
        })
        .await;
        let result = result.map(|won| (won.answer, won.second_asked));
        (result, start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_best_within_the_wait_is_taken() {
        let first = [(10, Ok(5)), (60, Ok(9)), (90, Ok(7)), (500, Ok(99))];
        assert_eq!(race(&first, None).await, (Ok((9, false)), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_wait_the_first_is_taken() {
        let first = [(50, Err("bad")), (150, Ok(5)), (160, Ok(9))];
        assert_eq!(race(&first, None).await, (Ok((5, false)), 150));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_when_all_have_answered() {
        let first = [(10, Ok(5)), (20, Err("bad")), (30, Ok(4))];
        assert_eq!(race(&first, None).await, (Ok((5, false)), 30));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_answer_every_failure_is_told() {
        let first = [(700, Err("slow")), (20, Err("bad"))];
        assert_eq!(race(&first, None).await, (Err(vec!["bad", "slow"]), 700));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_question_is_asked_beside_a_late_first() {
        let outcome = race(&[(900, Ok(9))], second(300, &[(50, Ok(1))])).await;
        assert_eq!(outcome, (Ok((1, true)), 350));
        let outcome = race(&[(320, Ok(9))], second(300, &[(50, Ok(1))])).await;
        assert_eq!(outcome, (Ok((9, true)), 320), "the first may still win");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_makes_the_second_question_needless() {
        let outcome = race(&[(200, Ok(9)), (900, Ok(10))], second(300, &[(0, Ok(1))])).await;
        assert_eq!(outcome, (Ok((9, false)), 200));
        let outcome = race(&[(20, Ok(9)), (900, Ok(1))], second(50, &[(0, Ok(1))])).await;
        assert_eq!(
            outcome,
            (Ok((9, false)), 100),
            "however early the second is due"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_question_does_not_wait_when_all_have_failed() {
        let outcome = race(
            &[(10, Err("bad")), (20, Err("worse"))],
            second(300, &[(5, Ok(1))]),
        )
        .await;
        assert_eq!(outcome, (Ok((1, true)), 25));
        let outcome = race(&[(10, Err("bad"))], second(300, &[(5, Err("worse"))])).await;
        assert_eq!(outcome, (Err(vec!["bad", "worse"]), 15));
    }

    #[tokio::test(start_paused = true)]
    async fn times_beyond_all_clocks_are_never_reached() {
        let far = Second::<u32, &str> {
            after: Duration::MAX,
            ask: Box::new(Vec::new),
        };
        let won = run(asked(&[(10, Ok(5))]), Some(far), Duration::MAX, |&value| {
            value
        })
        .await;
        assert_eq!(won.unwrap().answer, 5);
    }
}
