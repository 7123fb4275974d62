#include "kvstore/kv_tables.h"

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

// Heights whose digests the meta record keeps: more than a header may lag behind, twice over.
constexpr std::size_t digests_max = 2 * limits::window_max + 2;

}  // namespace

const LinkedTable& linked_table(StateTable id) {
    for (const RootedTable& rooted : rooted_tables) {
        if (rooted.id == id) {
            return rooted.table;
        }
    }
    LOYAL_ASSERT(false, "every table under the root is in the list");
    return rooted_tables.front().table;
}

Result<void> create_tables(WriteTxn& txn) {
    for (const RootedTable& rooted : rooted_tables) {
        if (auto created = rooted.table.create(txn); !created) {
            return created;
        }
    }
    return {};
}

Bytes encode_key_record(const KeyView& view) {
    crypto::CanonicalWriter out(44 + view.value.size());
    write_version(out, view);
    return out.raw(view.value).take();
}

Result<KeyView> decode_key_record(ByteView content) {
    crypto::CanonicalReader in(content);
    KeyView view{read_version(in), {}};
    view.value = in.raw(in.left());
    if (!in.finish()) {
        return fail(Errc::corrupted, "a record of the keys table is too short");
    }
    return view;
}

Bytes encode_meta(const StateMeta& meta) {
    crypto::CanonicalWriter out(64 + meta.digests.size() * 40);
    out.number(state_format)
        .number(meta.height.value)
        .digest(meta.block)
        .number(meta.hlc.packed)
        .number(meta.revision.value)
        .number(meta.compacted.value)
        .number(meta.compacted_at.packed)
        .number(meta.history_bytes)
        .number(meta.history_first.revision.value)
        .number(meta.history_first.part)
        .number(meta.lease_clock_ms)
        .number(meta.leases_granted);
    out.number(static_cast<std::uint16_t>(meta.digests.size()));
    for (const auto& [height, digest] : meta.digests) {
        out.number(height.value).digest(digest);
    }
    return out.take();
}

Result<StateMeta> decode_meta(ByteView content) {
    crypto::CanonicalReader in(content);
    if (const auto format = in.number<std::uint16_t>(); format != state_format) {
        return fail(Errc::corrupted, "the state is stored in format " + std::to_string(format) +
                                         ", this program knows " + std::to_string(state_format));
    }
    StateMeta meta;
    meta.height = consensus::Height(in.number<std::uint64_t>());
    meta.block = in.digest();
    meta.hlc = consensus::Hlc(in.number<std::uint64_t>());
    meta.revision = Revision(in.number<std::uint64_t>());
    meta.compacted = Revision(in.number<std::uint64_t>());
    meta.compacted_at = consensus::Hlc(in.number<std::uint64_t>());
    meta.history_bytes = in.number<std::uint64_t>();
    meta.history_first.revision = Revision(in.number<std::uint64_t>());
    meta.history_first.part = in.number<std::uint32_t>();
    meta.lease_clock_ms = in.number<std::uint64_t>();
    meta.leases_granted = in.number<std::uint64_t>();
    const auto count = in.number<std::uint16_t>();
    if (count == 0 || count > digests_max) {
        return fail(Errc::corrupted, "the state's meta record is malformed");
    }
    for (std::uint16_t i = 0; i < count; ++i) {
        const consensus::Height height(in.number<std::uint64_t>());
        meta.digests.emplace_back(height, in.digest());
    }
    if (!in.finish() || meta.digests.back().first != meta.height) {
        return fail(Errc::corrupted, "the state's meta record is malformed");
    }
    return meta;
}

Result<std::optional<StateMeta>> read_meta(const ReadTxn& txn) {
    const auto content = linked_table(StateTable::meta).find(txn, view_of(meta_key));
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::optional<StateMeta>();
    }
    return decode_meta(**content).map([](StateMeta&& meta) { return std::optional(std::move(meta)); });
}

}  // namespace loyal::kvstore
