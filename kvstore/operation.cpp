#include "kvstore/operation.h"

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

using crypto::CanonicalReader;
using crypto::CanonicalWriter;

enum class Kind : std::uint8_t { put = 1, erase = 2, compare_and_set = 3, range = 4 };

// Flags of a compare-and-set.
constexpr std::uint8_t cas_has_expect = 1;
constexpr std::uint8_t cas_has_value = 2;
constexpr std::uint8_t cas_flags = cas_has_expect | cas_has_value;
// Flags of a range.
constexpr std::uint8_t range_has_end = 1;
constexpr std::uint8_t range_reverse = 2;
constexpr std::uint8_t range_keys_only = 4;
constexpr std::uint8_t range_count_only = 8;
constexpr std::uint8_t range_flags = range_has_end | range_reverse | range_keys_only | range_count_only;

Bytes copy_of(ByteView bytes) {
    return {bytes.begin(), bytes.end()};
}

void write_key(CanonicalWriter& out, ByteView key) {
    LOYAL_ASSERT(key.size() <= limits::key_bytes_max, "callers check a key before they encode it");
    out.number(static_cast<std::uint16_t>(key.size())).raw(key);
}

void write_head(CanonicalWriter& out, Kind kind, std::uint8_t flags, ByteView key) {
    out.number(static_cast<std::uint8_t>(kind)).number(flags);
    write_key(out, key);
}

std::uint8_t flags_of(const Range& range) {
    unsigned flags = 0;
    flags |= range.end ? range_has_end : 0U;
    flags |= range.reverse ? range_reverse : 0U;
    flags |= range.keys_only ? range_keys_only : 0U;
    flags |= range.count_only ? range_count_only : 0U;
    return static_cast<std::uint8_t>(flags);
}

struct Encoder {
    CanonicalWriter& out;

    void operator()(const Put& put) const {
        write_head(out, Kind::put, 0, put.key);
        out.sized(put.value);
    }
    void operator()(const Delete& erase) const { write_head(out, Kind::erase, 0, erase.key); }
    void operator()(const CompareAndSet& cas) const {
        const unsigned flags = (cas.expect ? cas_has_expect : 0U) | (cas.value ? cas_has_value : 0U);
        write_head(out, Kind::compare_and_set, static_cast<std::uint8_t>(flags), cas.key);
        if (cas.expect) {
            out.sized(*cas.expect);
        }
        if (cas.value) {
            out.sized(*cas.value);
        }
    }
    void operator()(const Range& range) const {
        write_head(out, Kind::range, flags_of(range), range.begin);
        if (range.end) {
            write_key(out, *range.end);
        }
        out.number(range.limit);
    }
};

// A key of at most key_bytes_max bytes; `may_be_empty` for the bounds of a range.
Bytes read_key(CanonicalReader& in, bool may_be_empty) {
    const auto size = in.number<std::uint16_t>();
    if (size > limits::key_bytes_max || (size == 0 && !may_be_empty)) {
        in.reject();
    }
    return copy_of(in.raw(size));
}

Bytes read_value(CanonicalReader& in) {
    return copy_of(in.sized(limits::value_bytes_max));
}

CompareAndSet read_compare_and_set(CanonicalReader& in, std::uint8_t flags) {
    CompareAndSet cas;
    cas.key = read_key(in, false);
    if ((flags & cas_has_expect) != 0) {
        cas.expect = read_value(in);
    }
    if ((flags & cas_has_value) != 0) {
        cas.value = read_value(in);
    }
    return cas;
}

Range read_range(CanonicalReader& in, std::uint8_t flags) {
    Range range;
    const bool has_end = (flags & range_has_end) != 0;
    range.begin = read_key(in, has_end);  // a single key is never empty; a range may begin at the first key
    if (has_end) {
        range.end = read_key(in, true);
    }
    range.limit = in.number<std::uint32_t>();
    range.reverse = (flags & range_reverse) != 0;
    range.keys_only = (flags & range_keys_only) != 0;
    range.count_only = (flags & range_count_only) != 0;
    return range;
}

// One operation; the reader is not ok afterwards when it breaks the format or a bound.
Operation read_operation(CanonicalReader& in) {
    const auto kind = in.number<std::uint8_t>();
    const auto flags = in.number<std::uint8_t>();
    const auto allow = [&](std::uint8_t known) {
        if ((flags & ~known) != 0) {
            in.reject();
        }
    };
    switch (static_cast<Kind>(kind)) {
        case Kind::put: {
            allow(0);
            Put put;
            put.key = read_key(in, false);
            put.value = read_value(in);
            return put;
        }
        case Kind::erase: allow(0); return Delete{read_key(in, false)};
        case Kind::compare_and_set: allow(cas_flags); return read_compare_and_set(in, flags);
        case Kind::range: allow(range_flags); return read_range(in, flags);
    }
    in.reject();
    return Delete{};
}

void write_item(CanonicalWriter& out, const Item& item) {
    write_key(out, item.key);
    out.sized(item.value);
    out.number(item.revision.value).number(item.created.value).number(item.version).number(item.timestamp.packed);
}

Item read_item(CanonicalReader& in) {
    Item item;
    item.key = read_key(in, false);
    item.value = read_value(in);
    item.revision = Revision(in.number<std::uint64_t>());
    item.created = Revision(in.number<std::uint64_t>());
    item.version = in.number<std::uint64_t>();
    item.timestamp = consensus::Hlc(in.number<std::uint64_t>());
    return item;
}

}  // namespace

Bytes encode_operation(const Operation& operation) {
    CanonicalWriter out;
    std::visit(Encoder{out}, operation);
    return out.take();
}

Bytes encode_operations(const std::vector<Operation>& operations) {
    CanonicalWriter out;
    for (const Operation& operation : operations) {
        std::visit(Encoder{out}, operation);
    }
    return out.take();
}

Result<std::vector<Operation>> decode_operations(ByteView bytes, std::size_t count) {
    if (count == 0 || count > limits::envelope_ops_max) {
        return fail(Errc::invalid_argument, "an envelope holds 1 to " + std::to_string(limits::envelope_ops_max) +
                                                " operations, not " + std::to_string(count));
    }
    if (bytes.size() > limits::envelope_bytes_max) {
        return fail(Errc::invalid_argument, "operations of " + std::to_string(bytes.size()) + " bytes are too long");
    }
    CanonicalReader in(bytes);
    std::vector<Operation> operations;
    operations.reserve(count);
    for (std::size_t i = 0; i < count && in.ok(); ++i) {
        operations.push_back(read_operation(in));
    }
    if (!in.finish()) {
        return fail(Errc::invalid_argument, "operation " + std::to_string(operations.size()) + " of " +
                                                std::to_string(count) +
                                                " is malformed, breaks a size limit, or bytes are left over");
    }
    return operations;
}

Bytes encode_range(const Range& range) {
    return encode_operations({range});
}

Result<Range> decode_range(ByteView bytes) {
    CanonicalReader in(bytes);
    Operation operation = read_operation(in);
    auto* range = std::get_if<Range>(&operation);
    if (!in.finish() || range == nullptr) {
        return fail(Errc::invalid_argument, "malformed range");
    }
    return std::move(*range);
}

std::string_view to_string(Status status) {
    switch (status) {
        case Status::ok: return "ok";
        case Status::not_found: return "not found";
        case Status::mismatch: return "mismatch";
        case Status::invalid: return "invalid";
        case Status::expired: return "expired";
        case Status::beyond_horizon: return "beyond the horizon";
        case Status::window: return "beyond the session's window";
        case Status::no_session: return "no session";
        case Status::denied: return "denied";
        case Status::too_large: return "too large";
    }
    return "unknown";
}

Bytes encode_range_result(const RangeResult& result) {
    CanonicalWriter out;
    out.number(static_cast<std::uint8_t>(result.more ? 1 : 0)).number(result.count);
    out.number(static_cast<std::uint32_t>(result.items.size()));
    for (const Item& item : result.items) {
        write_item(out, item);
    }
    return out.take();
}

Result<RangeResult> decode_range_result(ByteView bytes) {
    CanonicalReader in(bytes);
    RangeResult result;
    const auto more = in.number<std::uint8_t>();
    result.count = in.number<std::uint64_t>();
    const auto size = in.number<std::uint32_t>();
    // An item takes item_bytes_min at least, so a short answer cannot make us reserve for a thousand of them.
    constexpr std::size_t item_bytes_min = 2 + 1 + 4 + 4 * 8;
    if (!in.ok() || more > 1 || size > limits::range_items_max || size > in.left() / item_bytes_min) {
        return fail(Errc::invalid_argument, "malformed range result");
    }
    result.more = more == 1;
    result.items.reserve(size);
    for (std::uint32_t i = 0; i < size && in.ok(); ++i) {
        result.items.push_back(read_item(in));
    }
    if (!in.finish()) {
        return fail(Errc::invalid_argument, "malformed range result");
    }
    return result;
}

crypto::Digest outcome_digest(const Outcome& outcome) {
    CanonicalWriter fixed(64);
    fixed.number(outcome.seq.value).number(outcome.height.value).number(outcome.view.value).number(outcome.hlc.packed);
    fixed.number(outcome.revision.value).number(static_cast<std::uint8_t>(outcome.status));
    fixed.number(static_cast<std::uint32_t>(outcome.result.size()));
    return crypto::Hasher("outcome").update(fixed.view()).update(outcome.result).finish();
}

}  // namespace loyal::kvstore
