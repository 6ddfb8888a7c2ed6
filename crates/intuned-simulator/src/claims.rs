//! Results of the simulated project's `get-claims`.

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

/// Returns a few expense claims like those of OrangeHRM's list, the last from yesterday.
pub(super) fn claims(today: NaiveDate) -> Value {
    let claim = |number: u32, age: u64, event: &str, description: &str, status: &str, amount| {
        let submitted = today.checked_sub_days(Days::new(age)).unwrap_or(today);
        json!({
            "referenceId": format!("{}{number:07}", submitted.format("%Y%m%d")),
            "eventName": event,
            "description": description,
            "currency": "Euro",
            "status": status,
            "submittedDate": submitted,
            "amount": amount,
        })
    };
    json!([
        claim(
            7,
            1,
            "Travel Allowance",
            "Train to the customer in Lyon",
            "SUBMITTED",
            184.60
        ),
        claim(
            6,
            12,
            "Accommodation",
            "Two nights in Lyon",
            "APPROVED",
            312.00
        ),
        claim(
            4,
            33,
            "Medical Reimbursement",
            "New glasses",
            "PAID",
            249.90
        ),
        claim(
            2,
            58,
            "Travel Allowance",
            "Taxi from the airport",
            "REJECTED",
            71.35
        ),
    ])
}
