#include "kvstore/history.h"

#include "config/limits.h"
#include "crypto/canonical.h"
#include "kvstore/big_endian.h"

namespace loyal::kvstore {

namespace {

constexpr std::uint8_t change_deleted = 1;
constexpr std::uint8_t change_had_previous = 2;
constexpr std::uint8_t change_previous_dropped = 4;
constexpr std::uint8_t change_previous_apart = 8;
constexpr std::uint8_t change_flags =
    change_deleted | change_had_previous | change_previous_dropped | change_previous_apart;
constexpr std::size_t history_key_bytes = 12;

tl::unexpected<Error> malformed_history() {
    return fail(Errc::corrupted, "a record of the history is malformed");
}

KeyRecord to_record(const KeyView& view) {
    return {static_cast<const KeyVersion&>(view), Bytes(view.value.begin(), view.value.end())};
}

KeyView read_new(crypto::CanonicalReader& in, const ChangeId& id, consensus::Hlc timestamp) {
    KeyView view;
    view.id = id;
    view.timestamp = timestamp;
    view.created = Revision(in.number<std::uint64_t>());
    view.version = in.number<std::uint64_t>();
    view.lease = LeaseId(in.number<std::uint64_t>());
    view.value = in.sized(limits::value_bytes_max);
    if (view.version == 0) {
        in.reject();
    }
    return view;
}

KeyView read_previous(crypto::CanonicalReader& in, bool apart) {
    KeyView view{read_version(in), {}};
    if (!apart) {
        view.value = in.sized(limits::value_bytes_max);
    }
    if (view.deleted() && (apart || !view.value.empty())) {
        in.reject();
    }
    return view;
}

ChangeView read_change(crypto::CanonicalReader& in, consensus::Hlc timestamp) {
    ChangeView change;
    ChangeId id;
    id.revision = Revision(in.number<std::uint64_t>());
    id.part = in.number<std::uint32_t>();
    const auto flags = in.number<std::uint8_t>();
    const auto key_size = in.number<std::uint16_t>();
    if ((flags & ~change_flags) != 0 || key_size == 0 || key_size > limits::key_bytes_max) {
        in.reject();
        return change;
    }
    change.key = in.raw(key_size);
    if ((flags & change_deleted) == 0) {
        change.now = read_new(in, id, timestamp);
    } else {
        change.now.id = id;
        change.now.timestamp = timestamp;
    }
    change.previous_dropped = (flags & change_previous_dropped) != 0;
    change.previous_apart = (flags & change_previous_apart) != 0;
    if ((flags & change_had_previous) != 0) {
        change.previous = read_previous(in, change.previous_apart);
    }
    if ((change.previous && change.previous_dropped) || (!change.previous && change.previous_apart)) {
        in.reject();
    }
    return change;
}

}  // namespace

Change to_change(const ChangeView& view) {
    Change change;
    change.key.assign(view.key.begin(), view.key.end());
    change.now = to_record(view.now);
    if (view.previous && !view.previous->deleted()) {
        change.previous = to_record(*view.previous);
    }
    change.previous_dropped = view.previous_dropped;
    return change;
}

void write_version(crypto::CanonicalWriter& out, const KeyVersion& version) {
    out.number(version.id.revision.value).number(version.id.part).number(version.created.value);
    out.number(version.version).number(version.timestamp.packed).number(version.lease.value);
}

KeyVersion read_version(crypto::CanonicalReader& in) {
    KeyVersion version;
    version.id.revision = Revision(in.number<std::uint64_t>());
    version.id.part = in.number<std::uint32_t>();
    version.created = Revision(in.number<std::uint64_t>());
    version.version = in.number<std::uint64_t>();
    version.timestamp = consensus::Hlc(in.number<std::uint64_t>());
    version.lease = LeaseId(in.number<std::uint64_t>());
    return version;
}

Bytes history_key(const ChangeId& first) {
    Bytes key;
    key.reserve(history_key_bytes + 1);
    append_big_endian(key, first.revision.value);
    append_big_endian(key, first.part);
    return key;
}

Bytes previous_value_key(const ChangeId& first) {
    Bytes key = history_key(first);
    key.push_back(1);
    return key;
}

Result<HistoryKey> parse_history_key(ByteView key) {
    const bool apart = key.size() == history_key_bytes + 1 && key.back() == 1;
    if (key.size() != history_key_bytes && !apart) {
        return malformed_history();
    }
    return HistoryKey{{Revision(read_big_endian<std::uint64_t>(key)), read_big_endian<std::uint32_t>(key.subspan(8))},
                      apart};
}

Bytes encode_history_head(consensus::Hlc timestamp) {
    return crypto::CanonicalWriter(limits::history_group_bytes).number(timestamp.packed).take();
}

void append_change(Bytes& content, const ChangeView& change) {
    crypto::CanonicalWriter out(128 + change.key.size() + change.now.value.size());
    unsigned flags = 0;
    flags |= change.now.deleted() ? change_deleted : 0U;
    flags |= change.previous ? change_had_previous : 0U;
    flags |= change.previous_dropped ? change_previous_dropped : 0U;
    flags |= change.previous_apart ? change_previous_apart : 0U;
    out.number(change.now.id.revision.value).number(change.now.id.part).number(static_cast<std::uint8_t>(flags));
    out.number(static_cast<std::uint16_t>(change.key.size())).raw(change.key);
    if (!change.now.deleted()) {
        out.number(change.now.created.value).number(change.now.version).number(change.now.lease.value);
        out.sized(change.now.value);
    }
    if (change.previous) {
        write_version(out, *change.previous);
        if (!change.previous_apart) {
            out.sized(change.previous->value);
        }
    }
    const ByteView bytes = out.view();
    content.insert(content.end(), bytes.begin(), bytes.end());
}

Result<consensus::Hlc> decode_history_time(ByteView content) {
    crypto::CanonicalReader in(content);
    const consensus::Hlc timestamp(in.number<std::uint64_t>());
    if (!in.ok()) {
        return malformed_history();
    }
    return timestamp;
}

Result<std::vector<ChangeView>> decode_history(ByteView content) {
    crypto::CanonicalReader in(content);
    const consensus::Hlc timestamp(in.number<std::uint64_t>());
    std::vector<ChangeView> changes;
    while (in.ok() && in.left() > 0) {
        changes.push_back(read_change(in, timestamp));
        const bool ascends = changes.size() < 2 || changes[changes.size() - 2].now.id < changes.back().now.id;
        if (!ascends) {
            return malformed_history();
        }
    }
    if (!in.finish() || changes.empty()) {
        return malformed_history();
    }
    return changes;
}

}  // namespace loyal::kvstore
