//! What it takes to end a leg's dialog from elsewhere: copied for whoever keeps it.

use super::Ua;
use crate::dialog::without_tag;
use crate::interface::{DialogCopy, DialogStage, Event, LegId};
use crate::message::HeaderName;

impl Ua {
    /// The leg's dialog as it stands; `None` where another process would have nothing to end.
    pub(crate) fn dialog_copy(&self, id: LegId) -> Option<DialogCopy> {
        let leg = self.leg(id).filter(|leg| leg.is_live())?;
        if let Some(dialog) = &leg.dialog {
            return leg.is_confirmed().then(|| dialog.copy(leg.flow()));
        }
        let invite = leg.invite.as_ref().filter(|_| leg.is_uac())?;
        Some(DialogCopy {
            stage: DialogStage::Calling {
                branch: invite.top_via().branch().to_owned(),
                early_tag: (*leg.early_tag).to_owned(),
            },
            call_id: (*leg.call_id).to_owned(),
            local_tag: (*leg.local_tag).to_owned(),
            local: without_tag(invite.header(&HeaderName::From).unwrap_or_default()),
            remote: without_tag(invite.header(&HeaderName::To).unwrap_or_default()),
            target: invite.request_uri().to_owned(),
            route: invite.headers(&HeaderName::Route).map(str::to_owned).collect(),
            cseq: invite.cseq().number,
            flow: leg.first_flow,
        })
    }

    /// Says that a copy of the leg's dialog is out of date, if it is.
    pub(crate) fn note_moved(&mut self, id: LegId) {
        let Some(leg) = self.leg_mut(id).filter(|leg| leg.is_confirmed()) else { return };
        if leg.dialog.as_mut().is_some_and(crate::dialog::Dialog::take_moved) {
            self.emit(Event::Moved { leg: id });
        }
    }
}
