use super::*;

fn saved(meter: &Meter, kind: &str, bytes: usize, now: Instant) {
    meter.add(kind, Counts { polls_answered: 1, bytes_not_sent: bytes as u64, ..Counts::default() }, now);
}

fn polls(meter: &Meter, since: Option<u64>, now: Instant) -> u64 {
    meter.read_at(since.map(Duration::from_secs), now).total().polls_answered
}

#[tokio::test(start_paused = true)]
async fn kinds_add_up_and_there_is_an_end_to_them() {
    let (meter, now) = (Meter::new(), Instant::now());
    for number in 0..KINDS_MAX + 5 {
        saved(&meter, &format!("kind-{number}"), 10, now);
    }
    saved(&meter, "kind-0", 1, now);
    let reading = meter.read_at(None, now);
    assert_eq!(reading.kinds.len(), KINDS_MAX + 1);
    assert_eq!(reading.kinds[KIND_OTHER].polls_answered, 5);
    assert_eq!(reading.kinds["kind-0"].bytes_not_sent, 11);
    assert_eq!(reading.total().bytes_not_sent, 10 * (KINDS_MAX as u64 + 5) + 1);
    let mut registry = Registry::default();
    meter.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(page.contains("myelin_meter_polls_answered_total{kind=\"kind-0\"} 2"), "{page}");
    assert!(page.contains("myelin_meter_not_sent_bytes_total{kind=\"other\"} 50"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_time_is_read_to_ten_seconds_within_the_hour_and_to_five_minutes_within_the_day() {
    let (meter, start) = (Meter::new(), Instant::now());
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    // One in each second for two hours.
    for second in 0..7_200 {
        saved(&meter, "a", 1, at(second));
    }
    let now = at(7_200);
    assert_eq!(polls(&meter, None, now), 7_200);
    assert_eq!(polls(&meter, Some(100_000), now), 7_200, "since the start");
    for since in [10, 60, 300, 3_000] {
        let counted = polls(&meter, Some(since), now);
        assert!((since..=since + 10).contains(&counted), "{counted} in {since} s");
    }
    let counted = polls(&meter, Some(5_000), now);
    assert!((5_000..=5_300).contains(&counted), "{counted}");
    let reading = meter.read_at(Some(Duration::from_secs(60)), now);
    assert_eq!(reading.total().polls_answered, reading.span.as_secs(), "the span is what was counted in");
}

#[tokio::test(start_paused = true)]
async fn an_idle_day_is_forgotten_without_being_kept() {
    let (meter, start) = (Meter::new(), Instant::now());
    saved(&meter, "a", 1, start);
    for hour in 1..100 {
        let now = start + Duration::from_secs(hour * 3_600);
        assert_eq!(polls(&meter, None, now), 1);
        if hour > 1 {
            assert_eq!(polls(&meter, Some(60), now), 0, "after {hour} hours");
        }
    }
    assert!(meter.0.state.lock().history.looks() <= 2);
}

/// As it was counted at an interface: 200 polls of 533 bytes with a connection each, and on one connection.
#[test]
fn what_is_derived_is_what_an_interface_counted() {
    for (connections, per_poll) in [(200, 1_835.0), (0, 731.0)] {
        let counts = Counts { polls_answered: 200, connections, bytes_not_sent: 200 * 533, ..Counts::default() };
        let derived = counts.wire_bytes_derived() as f64 / 200.0;
        assert!((derived / per_poll - 1.0).abs() < 0.01, "{derived} and {per_poll}");
    }
}
