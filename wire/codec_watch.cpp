#include "wire/codec_watch.h"

namespace loyal::wire {

const char* name_of(WatchEndReason reason) {
    switch (reason) {
        case WatchEndReason::compacted: return "compacted";
        case WatchEndReason::denied: return "denied";
        case WatchEndReason::too_many: return "too many watches";
        case WatchEndReason::invalid: break;
    }
    return "invalid";
}

namespace detail {

namespace {

using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;

void fill_place(v1::ChangePlace& out, const ChangeId& place) {
    out.set_revision(place.revision.value);
    out.set_part(place.part);
}

ChangeId place_from(const v1::ChangePlace& in) {
    return {Revision(in.revision()), in.part()};
}

// A record of the history with this change alone, so that what watches are told has the form, and the decoder, of what
// is stored.
Bytes encode_change(const Change& change) {
    Bytes content = kvstore::encode_history_head(change.now.timestamp);
    kvstore::ChangeView view;
    view.key = change.key;
    view.now = change.now.view();
    if (change.previous) {
        view.previous = change.previous->view();
    }
    view.previous_dropped = change.previous_dropped;
    kvstore::append_change(content, view);
    return content;
}

}  // namespace

void fill(v1::ClientFrame& out, const Watch& message) {
    v1::Watch& watch = *out.mutable_watch();
    watch.set_id(message.id.value);
    watch.set_nonce(message.nonce);
    fill_place(*watch.mutable_after(), message.after);
    assign(watch.mutable_begin(), message.begin);
    watch.set_has_end(message.end.has_value());
    if (message.end) {
        assign(watch.mutable_end(), *message.end);
    }
    watch.set_want_previous(message.want_previous);
}

void fill(v1::ClientFrame& out, const Unwatch& message) {
    out.mutable_unwatch()->set_id(message.id.value);
    out.mutable_unwatch()->set_nonce(message.nonce);
}

void fill(v1::ReplicaFrame& out, const WatchEvents& message) {
    v1::WatchEvents& events = *out.mutable_watch_events();
    events.set_id(message.id.value);
    events.set_nonce(message.nonce);
    events.set_number(message.number);
    fill_place(*events.mutable_after(), message.after);
    fill_place(*events.mutable_upto(), message.upto);
    events.set_live(message.live);
    for (const Change& change : message.changes) {
        assign(events.add_changes(), encode_change(change));
    }
}

void fill(v1::ReplicaFrame& out, const WatchProgress& message) {
    fill_place(*out.mutable_watch_progress()->mutable_upto(), message.upto);
    out.mutable_watch_progress()->set_sent(message.sent);
}

void fill(v1::ReplicaFrame& out, const WatchEnd& message) {
    v1::WatchEnd& end = *out.mutable_watch_end();
    end.set_id(message.id.value);
    end.set_nonce(message.nonce);
    end.set_number(message.number);
    end.set_reason(static_cast<std::uint32_t>(message.reason));
    end.set_oldest(message.oldest.value);
}

Result<ClientMessage> watch_from(const v1::Watch& in) {
    if (in.begin().size() > limits::key_bytes_max || in.end().size() > limits::key_bytes_max) {
        return malformed("WATCH", "a key that is longer than any may be");
    }
    if ((in.begin().empty() && !in.has_end()) || (!in.has_end() && !in.end().empty())) {
        return malformed("WATCH", "neither a key nor a range");
    }
    Watch watch;
    watch.id = WatchId(in.id());
    watch.nonce = in.nonce();
    watch.after = place_from(in.after());
    watch.begin = owned(in.begin());
    if (in.has_end()) {
        watch.end = owned(in.end());
    }
    watch.want_previous = in.want_previous();
    return watch;
}

Result<ClientMessage> unwatch_from(const v1::Unwatch& in) {
    return Unwatch{WatchId(in.id()), in.nonce()};
}

bool watch_events_bounded(ByteView frame) {
    return count_elements(frame, v1::ReplicaFrame::kWatchEventsFieldNumber, v1::WatchEvents::kChangesFieldNumber,
                          limits::watch_run_changes_max) <= limits::watch_run_changes_max;
}

Result<ReplicaMessage> watch_events_from(const v1::WatchEvents& in) {
    WatchEvents events;
    events.id = WatchId(in.id());
    events.nonce = in.nonce();
    events.number = in.number();
    events.after = place_from(in.after());
    events.upto = place_from(in.upto());
    events.live = in.live();
    if (events.upto < events.after) {
        return malformed("WATCH-EVENTS", "it ends before it begins");
    }
    if (static_cast<std::size_t>(in.changes_size()) > limits::watch_run_changes_max) {
        return malformed("WATCH-EVENTS", std::to_string(in.changes_size()) + " changes");
    }
    events.changes.reserve(static_cast<std::size_t>(in.changes_size()));
    ChangeId last = events.after;
    for (const std::string& each : in.changes()) {
        const auto record = kvstore::decode_history(view(each));
        if (!record) {
            return inside("WATCH-EVENTS", record.error());
        }
        if (record->size() != 1) {
            return malformed("WATCH-EVENTS", std::to_string(record->size()) + " changes in one");
        }
        const kvstore::ChangeView& change = record->front();
        if (change.previous_apart) {
            return malformed("WATCH-EVENTS", "a previous value that is elsewhere");
        }
        if (change.now.id <= last || change.now.id > events.upto) {
            return malformed("WATCH-EVENTS", "a change that is out of its place");
        }
        last = change.now.id;
        events.changes.push_back(kvstore::to_change(change));
    }
    return events;
}

Result<ReplicaMessage> watch_progress_from(const v1::WatchProgress& in) {
    return WatchProgress{place_from(in.upto()), in.sent()};
}

Result<ReplicaMessage> watch_end_from(const v1::WatchEnd& in) {
    if (in.reason() < static_cast<std::uint32_t>(WatchEndReason::compacted) ||
        in.reason() > static_cast<std::uint32_t>(WatchEndReason::invalid)) {
        return malformed("WATCH-END", "an unknown reason");
    }
    return WatchEnd{WatchId(in.id()), in.nonce(), in.number(), static_cast<WatchEndReason>(in.reason()),
                    Revision(in.oldest())};
}

}  // namespace detail

}  // namespace loyal::wire
