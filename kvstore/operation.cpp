#include "kvstore/operation.h"

#include <type_traits>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/identity.h"
#include "kvstore/operation_codec.h"

namespace loyal::kvstore {

namespace {

using crypto::CanonicalReader;
using crypto::CanonicalWriter;

enum class Kind : std::uint8_t {
    put = 1,
    erase = 2,
    compare_and_set = 3,
    range = 4,
    txn = 5,
    lease_grant = 6,
    lease_revoke = 7,
    lease_keep_alive = 8,
    lock_acquire = 9,
    lock_release = 10,
    compact = 11,
    lease_query = 12,
    lock_query = 13,
    client_add = 14,
    client_remove = 15,
    right_grant = 16,
    right_revoke = 17,
    client_query = 18,
};

constexpr std::uint8_t put_has_lease = 1;
constexpr std::uint8_t put_has_ttl = 2;
constexpr std::uint8_t has_fence = 4;  // of a put, a delete and a compare-and-set alike
constexpr std::uint8_t delete_has_end = 1;
constexpr std::uint8_t cas_has_expect = 1;
constexpr std::uint8_t cas_has_value = 2;
constexpr std::uint8_t range_has_end = 1;
constexpr std::uint8_t range_reverse = 2;
constexpr std::uint8_t range_keys_only = 4;
constexpr std::uint8_t range_count_only = 8;
constexpr std::uint8_t range_has_revision = 16;
constexpr std::uint8_t range_has_time = 32;
constexpr std::uint8_t range_history = 64;

std::uint8_t flags_of(std::initializer_list<std::pair<bool, std::uint8_t>> flags) {
    unsigned all = 0;
    for (const auto& [set, flag] : flags) {
        all |= set ? flag : 0U;
    }
    return static_cast<std::uint8_t>(all);
}

void write_head(CanonicalWriter& out, Kind kind, std::uint8_t flags = 0) {
    out.number(static_cast<std::uint8_t>(kind)).number(flags);
}

void write_name(CanonicalWriter& out, const std::string& name) {
    LOYAL_ASSERT(name.size() <= limits::client_name_bytes_max, "callers check a name before they encode it");
    out.number(static_cast<std::uint8_t>(name.size())).raw(view_of(name));
}

void write_fence(CanonicalWriter& out, const std::optional<Fence>& fence) {
    if (fence) {
        write_key(out, fence->lock);
        out.number(fence->token);
    }
}

struct Encoder {
    CanonicalWriter& out;

    void operator()(const Put& put) const {
        write_head(out, Kind::put,
                   flags_of({{put.lease.value != 0, put_has_lease},
                             {put.ttl_ms != 0, put_has_ttl},
                             {put.fence.has_value(), has_fence}}));
        write_key(out, put.key);
        out.sized(put.value);
        if (put.lease.value != 0) {
            out.number(put.lease.value);
        }
        if (put.ttl_ms != 0) {
            out.number(put.ttl_ms);
        }
        write_fence(out, put.fence);
    }
    void operator()(const Delete& erase) const {
        write_head(out, Kind::erase,
                   flags_of({{erase.end.has_value(), delete_has_end}, {erase.fence.has_value(), has_fence}}));
        write_key(out, erase.key);
        if (erase.end) {
            write_key(out, *erase.end);
        }
        write_fence(out, erase.fence);
    }
    void operator()(const CompareAndSet& cas) const {
        write_head(out, Kind::compare_and_set,
                   flags_of({{cas.expect.has_value(), cas_has_expect},
                             {cas.value.has_value(), cas_has_value},
                             {cas.fence.has_value(), has_fence}}));
        write_key(out, cas.key);
        if (cas.expect) {
            out.sized(*cas.expect);
        }
        if (cas.value) {
            out.sized(*cas.value);
        }
        write_fence(out, cas.fence);
    }
    void operator()(const Range& range) const {
        write_head(out, Kind::range,
                   flags_of({{range.end.has_value(), range_has_end},
                             {range.reverse, range_reverse},
                             {range.keys_only, range_keys_only},
                             {range.count_only, range_count_only},
                             {range.revision.has_value(), range_has_revision},
                             {range.at.has_value(), range_has_time},
                             {range.history, range_history}}));
        write_key(out, range.begin);
        if (range.end) {
            write_key(out, *range.end);
        }
        out.number(range.limit);
        if (range.revision) {
            out.number(range.revision->value);
        }
        if (range.at) {
            out.number(range.at->packed);
        }
    }
    void operator()(const Txn& txn) const {
        write_head(out, Kind::txn);
        out.number(static_cast<std::uint16_t>(txn.compares.size()));
        out.number(static_cast<std::uint16_t>(txn.then.size()));
        out.number(static_cast<std::uint16_t>(txn.otherwise.size()));
        for (const Compare& compare : txn.compares) {
            out.number(static_cast<std::uint8_t>(compare.target)).number(static_cast<std::uint8_t>(compare.relation));
            write_key(out, compare.key);
            compare.target == CompareTarget::value ? out.sized(compare.value) : out.number(compare.number);
        }
        for (const auto* branch : {&txn.then, &txn.otherwise}) {
            for (const TxnOperation& operation : *branch) {
                std::visit(*this, operation);
            }
        }
    }
    void operator()(const LeaseGrant& grant) const {
        write_head(out, Kind::lease_grant);
        out.number(grant.ttl_ms);
    }
    void operator()(const LeaseRevoke& revoke) const {
        write_head(out, Kind::lease_revoke);
        out.number(revoke.lease.value);
    }
    void operator()(const LeaseKeepAlive& keep) const {
        write_head(out, Kind::lease_keep_alive);
        out.number(keep.lease.value);
    }
    void operator()(const LockAcquire& acquire) const {
        write_head(out, Kind::lock_acquire);
        write_key(out, acquire.name);
        out.number(acquire.lease.value).sized(acquire.value);
    }
    void operator()(const LockRelease& release) const {
        write_head(out, Kind::lock_release);
        write_key(out, release.name);
        out.number(release.lease.value);
    }
    void operator()(const Compact& compact) const {
        write_head(out, Kind::compact);
        out.number(compact.revision.value);
    }
    void operator()(const LeaseQuery& query) const {
        write_head(out, Kind::lease_query);
        out.number(query.lease.value).number(query.after.value).number(query.limit);
    }
    void operator()(const LockQuery& query) const {
        write_head(out, Kind::lock_query);
        write_key(out, query.name);
    }
    void operator()(const ClientAdd& add) const {
        write_head(out, Kind::client_add);
        write_name(out, add.name);
        out.raw(add.key.bytes);
    }
    void operator()(const ClientRemove& remove) const {
        write_head(out, Kind::client_remove);
        write_name(out, remove.name);
    }
    void operator()(const RightGrant& grant) const { write_right(Kind::right_grant, grant); }
    void operator()(const RightRevoke& revoke) const { write_right(Kind::right_revoke, revoke); }
    void operator()(const ClientQuery& query) const {
        write_head(out, Kind::client_query);
        write_name(out, query.after);
        out.number(query.limit);
    }

 private:
    template <class Right>
    void write_right(Kind kind, const Right& right) const {
        write_head(out, kind);
        write_name(out, right.client);
        write_key(out, right.prefix);
        out.number(right.rights);
    }
};

std::uint64_t read_positive(CanonicalReader& in) {
    const auto number = in.number<std::uint64_t>();
    if (number == 0) {
        in.reject();
    }
    return number;
}

std::uint64_t read_ttl(CanonicalReader& in) {
    const auto ttl = in.number<std::uint64_t>();
    if (ttl < limits::lease_ttl_ms_min || ttl > limits::lease_ttl_ms_max) {
        in.reject();
    }
    return ttl;
}

std::optional<Fence> read_fence(CanonicalReader& in, std::uint8_t flags) {
    if ((flags & has_fence) == 0) {
        return std::nullopt;
    }
    Fence fence;
    fence.lock = read_key(in, false);
    fence.token = read_positive(in);
    return fence;
}

Put read_put(CanonicalReader& in, std::uint8_t flags) {
    Put put;
    put.key = read_key(in, false);
    put.value = read_value(in);
    if ((flags & put_has_lease) != 0) {
        put.lease = LeaseId(read_positive(in));
    }
    if ((flags & put_has_ttl) != 0) {
        put.ttl_ms = read_ttl(in);
    }
    if (put.lease.value != 0 && put.ttl_ms != 0) {
        in.reject();
    }
    put.fence = read_fence(in, flags);
    return put;
}

Delete read_delete(CanonicalReader& in, std::uint8_t flags) {
    Delete erase;
    const bool has_end = (flags & delete_has_end) != 0;
    erase.key = read_key(in, has_end);
    if (has_end) {
        erase.end = read_key(in, true);
    }
    erase.fence = read_fence(in, flags);
    return erase;
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
    cas.fence = read_fence(in, flags);
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
    range.history = (flags & range_history) != 0;
    if ((flags & range_has_revision) != 0) {
        range.revision = Revision(read_positive(in));
    }
    if ((flags & range_has_time) != 0) {
        range.at = consensus::Hlc(in.number<std::uint64_t>());
    }
    const bool odd_history = range.history && (range.end || range.reverse || range.count_only || range.at);
    if ((range.revision && range.at) || odd_history) {
        in.reject();
    }
    return range;
}

Compare read_compare(CanonicalReader& in) {
    Compare compare;
    const auto target = in.number<std::uint8_t>();
    const auto relation = in.number<std::uint8_t>();
    if (target < static_cast<std::uint8_t>(CompareTarget::value) ||
        target > static_cast<std::uint8_t>(CompareTarget::lease) ||
        relation < static_cast<std::uint8_t>(Relation::equal) ||
        relation > static_cast<std::uint8_t>(Relation::greater)) {
        in.reject();
    }
    compare.target = static_cast<CompareTarget>(target);
    compare.relation = static_cast<Relation>(relation);
    compare.key = read_key(in, false);
    if (compare.target == CompareTarget::value) {
        compare.value = read_value(in);
    } else {
        compare.number = in.number<std::uint64_t>();
    }
    return compare;
}

// A flag that the kind does not know.
void allow(CanonicalReader& in, std::uint8_t flags, unsigned known) {
    if ((flags & ~known) != 0) {
        in.reject();
    }
}

Operation read_operation(CanonicalReader& in);

Txn read_txn(CanonicalReader& in) {
    Txn txn;
    const auto compares = in.number<std::uint16_t>();
    const std::array<std::uint16_t, 2> sizes{in.number<std::uint16_t>(), in.number<std::uint16_t>()};
    if (compares > limits::txn_parts_max || sizes[0] > limits::txn_parts_max || sizes[1] > limits::txn_parts_max) {
        in.reject();
        return txn;
    }
    for (std::uint16_t i = 0; i < compares && in.ok(); ++i) {
        txn.compares.push_back(read_compare(in));
    }
    for (std::size_t branch = 0; branch < sizes.size(); ++branch) {
        for (std::uint16_t i = 0; i < sizes[branch] && in.ok(); ++i) {
            CanonicalReader ahead = in;
            const auto kind = ahead.number<std::uint8_t>();
            if (kind == 0 ||
                (kind > static_cast<std::uint8_t>(Kind::erase) && kind != static_cast<std::uint8_t>(Kind::range))) {
                in.reject();  // before anything in it is read: transactions do not nest
                break;
            }
            Operation operation = read_operation(in);
            auto& to = branch == 0 ? txn.then : txn.otherwise;
            if (auto* put = std::get_if<Put>(&operation)) {
                to.emplace_back(std::move(*put));
            } else if (auto* erase = std::get_if<Delete>(&operation)) {
                to.emplace_back(std::move(*erase));
            } else if (auto* range = std::get_if<Range>(&operation)) {
                to.emplace_back(std::move(*range));
            }
        }
    }
    return txn;
}

LockAcquire read_acquire(CanonicalReader& in) {
    LockAcquire acquire;
    acquire.name = read_key(in, false);
    acquire.lease = LeaseId(read_positive(in));
    const ByteView value = in.sized(limits::lock_value_bytes_max);
    acquire.value.assign(value.begin(), value.end());
    return acquire;
}

LockRelease read_release(CanonicalReader& in) {
    LockRelease release;
    release.name = read_key(in, false);
    release.lease = LeaseId(read_positive(in));
    return release;
}

LeaseQuery read_lease_query(CanonicalReader& in) {
    LeaseQuery query;
    query.lease = LeaseId(in.number<std::uint64_t>());
    query.after = LeaseId(in.number<std::uint64_t>());
    query.limit = in.number<std::uint32_t>();
    if (query.lease.value != 0 && query.after.value != 0) {
        in.reject();
    }
    return query;
}

// `may_be_empty`: where a list begins.
std::string read_name(CanonicalReader& in, bool may_be_empty = false) {
    const auto size = in.number<std::uint8_t>();
    std::string name = string_of(in.raw(std::min<std::size_t>(size, limits::client_name_bytes_max + 1)));
    if (!(may_be_empty && name.empty()) && !crypto::is_valid_key_name(name)) {
        in.reject();
    }
    return name;
}

ClientAdd read_client_add(CanonicalReader& in) {
    ClientAdd add;
    add.name = read_name(in);
    const ByteView key = in.raw(add.key.bytes.size());
    std::copy(key.begin(), key.end(), add.key.bytes.begin());
    return add;
}

template <class Right>
Right read_right(CanonicalReader& in) {
    Right right;
    right.client = read_name(in);
    right.prefix = read_key(in, true);
    right.rights = in.number<std::uint8_t>();
    if (right.rights == 0 || right.rights > rights_all) {
        in.reject();
    }
    return right;
}

ClientQuery read_client_query(CanonicalReader& in) {
    ClientQuery query;
    query.after = read_name(in, true);
    query.limit = in.number<std::uint32_t>();
    return query;
}

// One operation; the reader is not ok afterwards when it breaks the format or a bound.
Operation read_operation(CanonicalReader& in) {
    const auto kind = in.number<std::uint8_t>();
    const auto flags = in.number<std::uint8_t>();
    switch (static_cast<Kind>(kind)) {
        case Kind::put: allow(in, flags, put_has_lease | put_has_ttl | has_fence); return read_put(in, flags);
        case Kind::erase: allow(in, flags, delete_has_end | has_fence); return read_delete(in, flags);
        case Kind::compare_and_set:
            allow(in, flags, cas_has_expect | cas_has_value | has_fence);
            return read_compare_and_set(in, flags);
        case Kind::range: allow(in, flags, 2U * range_history - 1U); return read_range(in, flags);
        default: allow(in, flags, 0); break;
    }
    switch (static_cast<Kind>(kind)) {
        case Kind::txn: return read_txn(in);
        case Kind::lease_grant: return LeaseGrant{read_ttl(in)};
        case Kind::lease_revoke: return LeaseRevoke{LeaseId(read_positive(in))};
        case Kind::lease_keep_alive: return LeaseKeepAlive{LeaseId(read_positive(in))};
        case Kind::lock_acquire: return read_acquire(in);
        case Kind::lock_release: return read_release(in);
        case Kind::compact: return Compact{Revision(read_positive(in))};
        case Kind::lease_query: return read_lease_query(in);
        case Kind::lock_query: return LockQuery{read_key(in, false)};
        case Kind::client_add: return read_client_add(in);
        case Kind::client_remove: return ClientRemove{read_name(in)};
        case Kind::right_grant: return read_right<RightGrant>(in);
        case Kind::right_revoke: return read_right<RightRevoke>(in);
        case Kind::client_query: return read_client_query(in);
        default: in.reject(); return Delete{};
    }
}

}  // namespace

bool is_query(const Operation& operation) {
    return std::holds_alternative<Range>(operation) || std::holds_alternative<LeaseQuery>(operation) ||
           std::holds_alternative<LockQuery>(operation) || std::holds_alternative<ClientQuery>(operation);
}

Operation to_operation(Query query) {
    return std::visit([](auto&& each) -> Operation { return std::forward<decltype(each)>(each); }, std::move(query));
}

Query to_query(const Operation& operation) {
    LOYAL_ASSERT(is_query(operation), "only what changes nothing is a query");
    if (const auto* lease = std::get_if<LeaseQuery>(&operation)) {
        return *lease;
    }
    if (const auto* lock = std::get_if<LockQuery>(&operation)) {
        return *lock;
    }
    if (const auto* clients = std::get_if<ClientQuery>(&operation)) {
        return *clients;
    }
    return std::get<Range>(operation);
}

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

Bytes encode_query(const Query& query) {
    return encode_operations({to_operation(query)});
}

Result<Query> decode_query(ByteView bytes) {
    CanonicalReader in(bytes);
    const Operation operation = read_operation(in);
    if (!in.finish() || !is_query(operation)) {
        return fail(Errc::invalid_argument, "malformed query");
    }
    return to_query(operation);
}

}  // namespace loyal::kvstore
