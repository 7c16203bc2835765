//! Statements as deep or as long as the limits let them be: an answer or an error, and the process goes on.

use crate::kit::World;
use hydron_base::Code;
use hydron_types::Value;

fn joined(operand: impl Fn(usize) -> String, operator: &str, count: usize) -> String {
    (0..count).map(operand).collect::<Vec<_>>().join(operator)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_chains_are_no_deep_ones() {
    let mut world = World::open();
    for count in [9, 128, 129, 50_000] {
        for condition in [
            joined(|_| "number < 2".to_string(), " and ", count),
            joined(|n| format!("number != {}", n + 2), " and ", count - 1) + " and number < 2",
            joined(|n| format!("number = {}", n % 2), " or ", count),
        ] {
            let rows = world.run(&format!("select number from numbers(5) where {condition}")).await;
            let rows = rows.unwrap_or_else(|e| panic!("{count} operands of {}: {e}", &condition[..30]));
            assert_eq!(rows, [[Value::UInt(0)], [Value::UInt(1)]], "{count} operands of {}", &condition[..30]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectives_in_connectives_and_brackets_in_brackets_end() {
    let mut world = World::open();
    let nested = (0..60).fold("number = 0".to_string(), |inner, level| {
        let operator = if level % 2 == 0 { " or " } else { " and " };
        format!("({inner}{operator}{})", joined(|n| format!("number < {}", n + 1), operator, 127))
    });
    let rows = world.run(&format!("select number from numbers(3) where {nested}")).await.unwrap();
    assert_eq!(rows, [[Value::UInt(0)]]);
    let brackets = format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(world.run(&brackets).await.unwrap_err().code, Code::TOO_DEEP_RECURSION);
}
