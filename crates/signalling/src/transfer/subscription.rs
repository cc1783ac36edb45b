//! The implicit subscription of a REFER (RFC 3515 §2.4): NOTIFYs with a piece of the target's answer (RFC 3420).

use super::Transfers;
use crate::interface::TransferId;
use crate::leg::Purpose;
use crate::message::{HeaderName, Method, reason_phrase};
use crate::ua::Ua;

/// Who is told about a transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    /// CSeq of the REFER, from the leg's second one on (RFC 3515 §2.4.6).
    pub(super) event_id: Option<u32>,
}

/// Seconds that a subscription is said to last; every NOTIFY says it anew.
const EXPIRES: u32 = 60;

impl Transfers {
    /// Tells the transferor how far its transfer is. A final status ends the subscription.
    pub(super) fn notify(&mut self, ua: &mut Ua, id: TransferId, status: u16, phrase: &str) {
        let Some(transfer) = self.all.get_mut(&id) else { return };
        let Some(subscription) = transfer.subscription else { return };
        let leg = transfer.transferor;
        if !ua.leg(leg).is_some_and(|leg| leg.is_confirmed()) {
            transfer.subscription = None;
            return;
        }
        let state =
            if status < 200 { format!("active;expires={EXPIRES}") } else { "terminated;reason=noresource".to_owned() };
        if status >= 200 {
            transfer.subscription = None;
        }
        let event = subscription.event_id.map_or_else(|| "refer".to_owned(), |id| format!("refer;id={id}"));
        let phrase = if phrase.is_empty() { reason_phrase(status) } else { phrase };
        let fragment = format!("SIP/2.0 {status} {phrase}\r\n");
        ua.request_in(leg, &Method::Notify, Purpose::Notify { leg, transfer: id }, |request| {
            request
                .header(HeaderName::Event, &event)
                .header(HeaderName::SubscriptionState, &state)
                .body("message/sipfrag;version=2.0", fragment)
        });
    }

    /// The transferor's answer to a NOTIFY; it may have forgotten the subscription, which disturbs nothing else.
    pub(crate) fn notified(&mut self, id: TransferId, status: Option<u16>) {
        if status.is_none_or(|status| status >= 300)
            && let Some(transfer) = self.all.get_mut(&id)
        {
            transfer.subscription = None;
        }
    }
}
