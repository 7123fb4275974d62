#include "kvstore/queries.h"

#include "config/limits.h"
#include "kvstore/leases.h"
#include "kvstore/locks.h"

namespace loyal::kvstore {

namespace {

std::size_t page_of(std::uint32_t limit) {
    return limit == 0 ? limits::range_items_max : std::min<std::size_t>(limit, limits::range_items_max);
}

LeaseState state_of(LeaseId id, const LeaseRecord& lease, const StateMeta& meta) {
    const std::uint64_t left = lease.expires_ms > meta.lease_clock_ms ? lease.expires_ms - meta.lease_clock_ms : 0;
    return {id, lease.owner, lease.ttl_ms, left, lease.items};
}

Result<QueryAnswer> answer_one_lease(StateView& view, const StateMeta& meta, const LeaseQuery& query) {
    const auto content = view.find(StateTable::leases, lease_key(query.lease));
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return QueryAnswer{Status::no_lease, {}};
    }
    const auto lease = decode_lease(**content);
    if (!lease) {
        return tl::unexpected(lease.error());
    }
    LeaseReport report;
    report.leases.push_back(state_of(query.lease, *lease, meta));
    Bytes begin = lease_key(query.lease);
    begin.push_back(static_cast<std::uint8_t>(LeaseItem::key));
    Bytes end = begin;
    ++end.back();
    auto walked = view.walk(StateTable::lease_items, begin, end, false, [&](ByteView key, ByteView) -> Result<bool> {
        const auto item = parse_lease_item_key(key);
        if (!item) {
            return tl::unexpected(item.error());
        }
        if (report.keys.size() == page_of(query.limit)) {
            report.more = true;
            return false;
        }
        report.keys.emplace_back(item->name.begin(), item->name.end());
        return true;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    return QueryAnswer{Status::ok, encode_lease_report(report)};
}

Result<QueryAnswer> list_leases(StateView& view, const StateMeta& meta, const LeaseQuery& query) {
    LeaseReport report;
    const Bytes begin = lease_key(query.after.next());
    auto walked = view.walk(StateTable::leases, begin, {}, false, [&](ByteView key, ByteView content) -> Result<bool> {
        const auto id = parse_lease_key(key);
        const auto lease = decode_lease(content);
        if (!id || !lease) {
            return tl::unexpected(id ? lease.error() : id.error());
        }
        if (report.leases.size() == page_of(query.limit)) {
            report.more = true;
            return false;
        }
        report.leases.push_back(state_of(*id, *lease, meta));
        return true;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    return QueryAnswer{Status::ok, encode_lease_report(report)};
}

Result<QueryAnswer> answer_lock(StateView& view, const LockQuery& query) {
    const auto lock = find_lock(view, query.name);
    if (!lock) {
        return tl::unexpected(lock.error());
    }
    return QueryAnswer{Status::ok, encode_lock_report(lock->value_or(LockReport{}))};
}

QueryAnswer list_clients(const ClientDirectory& clients, const ClientQuery& query) {
    ClientReport report;
    const auto& names = clients.names();
    for (auto name = names.upper_bound(query.after); name != names.end(); ++name) {
        if (report.clients.size() == page_of(query.limit)) {
            report.more = true;
            break;
        }
        report.clients.push_back(*clients.find(name->second));
    }
    return {Status::ok, encode_client_report(report)};
}

Result<QueryAnswer> answer_range(KeyReader& reader, const StateMeta& meta, const Range& range, std::size_t bytes_max) {
    auto found = reader.range(range, bytes_max);
    if (!found) {
        return tl::unexpected(found.error());
    }
    switch (found->status) {
        case Status::ok: return QueryAnswer{Status::ok, encode_range_result(found->range)};
        case Status::compacted: return QueryAnswer{Status::compacted, encode_count(meta.compacted.value)};
        default: return QueryAnswer{found->status, {}};
    }
}

}  // namespace

Result<QueryAnswer> answer_query(const QuerySource& source, const Query& query, std::size_t bytes_max) {
    if (const auto* range = std::get_if<Range>(&query)) {
        return answer_range(source.reader, source.meta, *range, bytes_max);
    }
    if (const auto* lease = std::get_if<LeaseQuery>(&query)) {
        return lease->lease.value != 0 ? answer_one_lease(source.view, source.meta, *lease)
                                       : list_leases(source.view, source.meta, *lease);
    }
    if (const auto* clients = std::get_if<ClientQuery>(&query)) {
        return list_clients(source.clients, *clients);
    }
    return answer_lock(source.view, std::get<LockQuery>(query));
}

}  // namespace loyal::kvstore
