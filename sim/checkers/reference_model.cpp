#include "sim/checkers/reference_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "config/limits.h"

namespace loyal::sim {

using namespace kvstore;  // NOLINT(google-build-using-namespace): it says again what all of it means

namespace {

bool inside(const Bytes& key, const Bytes& begin, const std::optional<Bytes>& end) {
    return end ? key >= begin && (end->empty() || key < *end) : key == begin;
}

template <class T>
bool compares(Relation relation, const T& a, const T& b) {
    switch (relation) {
        case Relation::equal: return a == b;
        case Relation::not_equal: return !(a == b);
        case Relation::less: return a < b;
        case Relation::greater: return a > b;
    }
    return false;
}

}  // namespace

void ReferenceModel::begin_block(consensus::Hlc now) {
    clock_ += std::min<std::uint64_t>(now.wall_ms() - now_.wall_ms(), limits::lease_step_ms_max);
    now_ = now;
}

void ReferenceModel::end_block() {
    for (;;) {
        const auto next = std::min_element(leases_.begin(), leases_.end(),
                                           [](const auto& a, const auto& b) { return a.second.ends < b.second.ends; });
        if (next == leases_.end() || next->second.ends > clock_) {
            return;
        }
        stepped_ = false;
        (void)end(next->first);
    }
}

// ---- What is there

const Item* ReferenceModel::at(const Bytes& key, Revision revision) const {
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
        return nullptr;
    }
    const auto newer = std::upper_bound(found->second.begin(), found->second.end(), revision,
                                        [](Revision limit, const Item& item) { return limit < item.revision; });
    const bool live = newer != found->second.begin() && std::prev(newer)->version != 0;
    return live ? &*std::prev(newer) : nullptr;
}

std::vector<Item> ReferenceModel::live(const Bytes& begin, const std::optional<Bytes>& end, Revision revision) const {
    std::vector<Item> items;
    for (auto key = keys_.lower_bound(begin); key != keys_.end() && inside(key->first, begin, end); ++key) {
        if (const Item* item = at(key->first, revision); item != nullptr) {
            items.push_back(*item);
        }
    }
    return items;
}

// Those that are known, newest first: back to the one that the oldest readable revision shows.
std::vector<Item> ReferenceModel::versions(const Bytes& key, Revision revision) const {
    std::vector<Item> items;
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
        return items;
    }
    for (auto item = found->second.rbegin(); item != found->second.rend(); ++item) {
        const bool oldest = item->revision <= compacted_;
        if (oldest && item->version == 0) {
            break;
        }
        if (item->revision <= revision) {
            items.push_back(*item);
        }
        if (oldest) {
            break;
        }
    }
    return items;
}

std::vector<Bytes> ReferenceModel::keys_of(LeaseId id) const {
    std::vector<Bytes> keys;
    for (const auto& [key, items] : keys_) {
        const Item* item = at(key, revision());
        if (item != nullptr && item->lease == id) {
            keys.push_back(key);
        }
    }
    return keys;
}

Status ReferenceModel::refusal(const Range& range) const {
    if (range.at) {
        return *range.at < times_[compacted_.value] ? Status::compacted : Status::ok;
    }
    if (range.revision && *range.revision > revision()) {
        return Status::future_revision;
    }
    return range.revision && *range.revision < compacted_ ? Status::compacted : Status::ok;
}

RangeResult ReferenceModel::range(const Range& range) const {
    Revision revision = range.revision.value_or(this->revision());
    if (range.at) {
        const auto later = std::upper_bound(times_.begin(), times_.end(), *range.at);
        revision = std::max(compacted_, Revision(static_cast<std::uint64_t>(later - times_.begin())).minus(1));
    }
    std::vector<Item> items = range.history ? versions(range.begin, revision) : live(range.begin, range.end, revision);
    RangeResult result;
    if (range.count_only) {
        result.count = items.size();
        return result;
    }
    if (range.reverse) {
        std::reverse(items.begin(), items.end());
    }
    const std::size_t page = range.limit == 0 ? limits::range_items_max : range.limit;
    result.more = items.size() > page;
    items.resize(std::min(items.size(), page));
    for (Item& item : items) {
        if (range.keys_only) {
            item.value.clear();
        }
    }
    result.count = items.size();
    result.items = std::move(items);
    return result;
}

RangeResult ReferenceModel::read(Range range, Revision revision) const {
    range.revision = revision;
    return this->range(range);
}

ReferenceModel::Answer ReferenceModel::answer(const Range& query) const {
    const Status status = refusal(query);
    if (status == Status::compacted) {
        return {status, encode_count(compacted_.value)};
    }
    return {status, status == Status::ok ? encode_range_result(range(query)) : Bytes{}};
}

ReferenceModel::Answer ReferenceModel::answer(const LockQuery& query) const {
    const auto found = locks_.find(query.name);
    return {Status::ok, encode_lock_report(found == locks_.end() ? LockReport{} : found->second)};
}

ReferenceModel::Answer ReferenceModel::answer(const LeaseQuery& query) const {
    LeaseReport report;
    for (const auto& [id, lease] : leases_) {
        if (query.lease.value != 0 ? id != query.lease : id <= query.after) {
            continue;
        }
        std::uint64_t items = keys_of(id).size();
        for (const auto& [name, lock] : locks_) {
            for (const LockWaiter& waiter : lock.queue) {
                items += waiter.lease == id ? 1 : 0;
            }
        }
        report.leases.push_back({id, lease.owner, lease.ttl, lease.ends - std::min(clock_, lease.ends), items});
    }
    if (query.lease.value != 0 && report.leases.empty()) {
        return {Status::no_lease, {}};
    }
    if (query.lease.value != 0) {
        report.keys = keys_of(query.lease);
    }
    return {Status::ok, encode_lease_report(report)};
}

ReferenceModel::Answer ReferenceModel::query(const Query& query) const {
    if (const auto* range = std::get_if<Range>(&query)) {
        return answer(*range);
    }
    if (const auto* lock = std::get_if<LockQuery>(&query)) {
        return answer(*lock);
    }
    return answer(std::get<LeaseQuery>(query));
}

// ---- Changes

void ReferenceModel::step() {
    if (!std::exchange(stepped_, true)) {
        times_.push_back(now_);
    }
}

void ReferenceModel::add(Item item) {
    item.revision = revision();
    item.timestamp = now_;
    if (item.version == 1) {
        item.created = item.revision;
    }
    keys_[item.key].push_back(std::move(item));
}

void ReferenceModel::set(const Bytes& key, const Bytes& value, LeaseId lease) {
    step();
    const Item* before = at(key, revision());
    Item item;
    item.key = key;
    item.value = value;
    item.lease = lease;
    item.created = before != nullptr ? before->created : Revision();
    item.version = before != nullptr ? before->version + 1 : 1;
    add(std::move(item));
}

bool ReferenceModel::remove(const Bytes& key) {
    if (at(key, revision()) == nullptr) {
        return false;
    }
    step();
    Item item;
    item.key = key;
    add(std::move(item));
    return true;
}

LeaseId ReferenceModel::grant(const consensus::ClientId& client, std::uint64_t ttl) {
    const LeaseId id(++granted_);
    leases_[id] = {client, ttl, clock_ + ttl};
    return id;
}

std::uint64_t ReferenceModel::end(LeaseId id) {
    const std::vector<Bytes> keys = keys_of(id);
    for (const Bytes& key : keys) {
        remove(key);
    }
    for (auto& [name, lock] : locks_) {
        (void)leave(name, id);
    }
    leases_.erase(id);
    return keys.size();
}

Status ReferenceModel::leave(const Bytes& name, LeaseId id) {
    LockReport& lock = locks_[name];
    for (std::size_t i = 0; i < lock.queue.size(); ++i) {
        if (lock.queue[i].lease == id) {
            lock.queue.erase(lock.queue.begin() + static_cast<std::ptrdiff_t>(i));
            lock.token += i == 0 && !lock.queue.empty() ? 1 : 0;
            return Status::ok;
        }
    }
    return Status::no_lock;
}

Status ReferenceModel::fence(const std::optional<Fence>& fence) const {
    if (!fence) {
        return Status::ok;
    }
    const auto lock = locks_.find(fence->lock);
    const std::uint64_t newest = lock == locks_.end() ? 0 : lock->second.token;
    return fence->token > newest ? Status::no_lock : fence->token < newest ? Status::fenced : Status::ok;
}

Status ReferenceModel::lease_status(LeaseId id, const consensus::ClientId& client) const {
    const auto lease = leases_.find(id);
    return lease == leases_.end() || lease->second.owner != client ? Status::no_lease : Status::ok;
}

// ---- Operations

ReferenceModel::Answer ReferenceModel::apply_one(const Put& put, const consensus::ClientId& client) {
    Status status = fence(put.fence);
    if (status == Status::ok && put.lease.value != 0) {
        status = lease_status(put.lease, client);
    }
    if (status != Status::ok) {
        return {status, {}};
    }
    const LeaseId lease = put.ttl_ms != 0 ? grant(client, put.ttl_ms) : put.lease;
    set(put.key, put.value, lease);
    return {Status::ok, put.ttl_ms != 0 ? encode_count(lease.value) : Bytes{}};
}

ReferenceModel::Answer ReferenceModel::apply_one(const Delete& erase) {
    if (const Status status = fence(erase.fence); status != Status::ok) {
        return {status, {}};
    }
    std::uint64_t deleted = 0;
    for (const Item& item : live(erase.key, erase.end, revision())) {
        deleted += remove(item.key) ? 1 : 0;
    }
    if (erase.end) {
        return {Status::ok, encode_count(deleted)};
    }
    return {deleted == 0 ? Status::not_found : Status::ok, {}};
}

ReferenceModel::Answer ReferenceModel::apply_one(const CompareAndSet& cas) {
    if (const Status status = fence(cas.fence); status != Status::ok) {
        return {status, {}};
    }
    const Item* item = at(cas.key, revision());
    const bool matches = cas.expect ? item != nullptr && item->value == *cas.expect : item == nullptr;
    if (!matches) {
        return {Status::mismatch, {}};
    }
    if (cas.value) {
        set(cas.key, *cas.value, LeaseId());
    } else {
        remove(cas.key);
    }
    return {};
}

bool ReferenceModel::holds(const Compare& compare) const {
    const Item* item = at(compare.key, revision());
    const Item none;
    const Item& view = item != nullptr ? *item : none;
    switch (compare.target) {
        case CompareTarget::value: return item != nullptr && compares(compare.relation, view.value, compare.value);
        case CompareTarget::version: return compares(compare.relation, view.version, compare.number);
        case CompareTarget::created: return compares(compare.relation, view.created.value, compare.number);
        case CompareTarget::modified: return compares(compare.relation, view.revision.value, compare.number);
        case CompareTarget::lease: return compares(compare.relation, view.lease.value, compare.number);
    }
    return false;
}

Status ReferenceModel::refusal(const TxnOperation& operation, const consensus::ClientId& client) const {
    if (const auto* put = std::get_if<Put>(&operation)) {
        const Status status = fence(put->fence);
        return status == Status::ok && put->lease.value != 0 ? lease_status(put->lease, client) : status;
    }
    if (const auto* erase = std::get_if<Delete>(&operation)) {
        return fence(erase->fence);
    }
    return refusal(std::get<Range>(operation));
}

ReferenceModel::Answer ReferenceModel::apply_one(const Txn& txn, const consensus::ClientId& client) {
    for (const auto* branch : {&txn.then, &txn.otherwise}) {
        std::set<Bytes> put_keys;
        for (const TxnOperation& each : *branch) {
            const auto* put = std::get_if<Put>(&each);
            if (put != nullptr && !put_keys.insert(put->key).second) {
                return {Status::invalid, {}};
            }
        }
        for (const TxnOperation& each : *branch) {
            const auto* erase = std::get_if<Delete>(&each);
            for (const Bytes& key : put_keys) {
                if (erase != nullptr && inside(key, erase->key, erase->end)) {
                    return {Status::invalid, {}};
                }
            }
        }
    }
    TxnResult result;
    result.succeeded = std::all_of(txn.compares.begin(), txn.compares.end(),
                                   [this](const Compare& compare) { return holds(compare); });
    const auto& branch = result.succeeded ? txn.then : txn.otherwise;
    for (const TxnOperation& each : branch) {
        if (const Status status = refusal(each, client); status != Status::ok) {
            return {status, status == Status::compacted ? encode_count(compacted_.value) : Bytes{}};
        }
    }
    result.parts.emplace();
    for (const TxnOperation& each : branch) {
        if (const auto* put = std::get_if<Put>(&each)) {
            (void)apply_one(*put, client);
            result.parts->emplace_back(PutDone{});
        } else if (const auto* erase = std::get_if<Delete>(&each)) {
            DeleteDone done;
            for (const Item& item : live(erase->key, erase->end, revision())) {
                done.keys += remove(item.key) ? 1 : 0;
            }
            result.parts->emplace_back(done);
        } else {
            result.parts->emplace_back(range(std::get<Range>(each)));
        }
    }
    return {Status::ok, encode_txn_result(result)};
}

ReferenceModel::Answer ReferenceModel::apply_one(const LockAcquire& acquire, const consensus::ClientId& client) {
    if (lease_status(acquire.lease, client) != Status::ok) {
        return {Status::no_lease, {}};
    }
    LockReport& lock = locks_[acquire.name];
    std::uint32_t ahead = 0;
    while (ahead < lock.queue.size() && lock.queue[ahead].lease != acquire.lease) {
        ++ahead;
    }
    if (ahead == lock.queue.size()) {
        lock.queue.push_back({acquire.lease, client, acquire.value});
        lock.token += ahead == 0 ? 1 : 0;
    }
    return {Status::ok, encode_lock_place({ahead == 0 ? lock.token : 0, ahead})};
}

ReferenceModel::Answer ReferenceModel::apply_one(const Compact& compact) {
    if (compact.revision > revision()) {
        return {Status::future_revision, {}};
    }
    if (compact.revision <= compacted_) {
        return {Status::compacted, encode_count(compacted_.value)};
    }
    compacted_ = compact.revision;
    return {};
}

ReferenceModel::Answer ReferenceModel::apply(const Operation& operation, const consensus::ClientId& client) {
    stepped_ = false;
    if (is_query(operation)) {
        return query(to_query(operation));
    }
    if (const auto* put = std::get_if<Put>(&operation)) {
        return apply_one(*put, client);
    }
    if (const auto* erase = std::get_if<Delete>(&operation)) {
        return apply_one(*erase);
    }
    if (const auto* cas = std::get_if<CompareAndSet>(&operation)) {
        return apply_one(*cas);
    }
    if (const auto* txn = std::get_if<Txn>(&operation)) {
        return apply_one(*txn, client);
    }
    if (const auto* acquire = std::get_if<LockAcquire>(&operation)) {
        return apply_one(*acquire, client);
    }
    if (const auto* lease = std::get_if<LeaseGrant>(&operation)) {
        return {Status::ok, encode_count(grant(client, lease->ttl_ms).value)};
    }
    if (const auto* compact = std::get_if<Compact>(&operation)) {
        return apply_one(*compact);
    }
    const auto* revoke = std::get_if<LeaseRevoke>(&operation);
    const auto* keep = std::get_if<LeaseKeepAlive>(&operation);
    const auto* release = std::get_if<LockRelease>(&operation);
    const LeaseId id = revoke != nullptr ? revoke->lease : keep != nullptr ? keep->lease : release->lease;
    if (lease_status(id, client) != Status::ok) {
        return {Status::no_lease, {}};
    }
    if (revoke != nullptr) {
        return {Status::ok, encode_count(end(id))};
    }
    if (keep != nullptr) {
        leases_[id].ends = clock_ + leases_[id].ttl;
        return {Status::ok, encode_count(leases_[id].ttl)};
    }
    return {leave(release->name, id), {}};
}

}  // namespace loyal::sim
