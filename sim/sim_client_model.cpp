// What a client asks of the rest of the data model: transactions, leases, locks.
#include <iterator>

#include "sim/sim_client.h"

namespace loyal::sim {

using kvstore::LeaseId;
using kvstore::Range;

namespace {

constexpr std::uint64_t leased_keys = 3;
constexpr const char* lock_name = "lock";

Bytes leased_key(std::uint64_t number) {
    return bytes_of("t" + std::to_string(number));
}

}  // namespace

// To the register of the key a compare-and-set; of what it puts besides, a put.
void SimClient::issue_txn(Call call) {
    const auto seen = last_seen_.find(call.key);
    call.op.kind = Kind::cas;
    call.op.expect = seen == last_seen_.end() || random_.one_in(4) ? std::nullopt : seen->second;
    call.op.value = new_value();
    const std::string other = context_.scenario.workload.key(random_.below(context_.scenario.workload.keys));
    if (other != call.key) {
        call.also_puts = {other, new_value()};
    }

    kvstore::Compare compare;
    compare.key = bytes_of(call.key);
    if (call.op.expect) {
        compare.value = bytes_of(*call.op.expect);
    } else {  // it must not exist
        compare.target = random_.one_in(2) ? kvstore::CompareTarget::created : kvstore::CompareTarget::version;
    }
    Range look;
    look.begin = bytes_of("k");
    look.end = Bytes();
    kvstore::Txn txn;
    txn.compares.push_back(std::move(compare));
    txn.then.emplace_back(kvstore::Put{bytes_of(call.key), bytes_of(*call.op.value)});
    if (call.also_puts) {
        txn.then.emplace_back(kvstore::Put{bytes_of(call.also_puts->first), bytes_of(call.also_puts->second)});
    }
    (random_.one_in(2) ? txn.then : txn.otherwise).emplace_back(std::move(look));
    write(std::move(call), std::move(txn));
}

LeaseId SimClient::some_lease() {
    return leases_.empty() || random_.one_in(6) ? LeaseId(1 + random_.below(4))
                                                : leases_[random_.below(leases_.size())];
}

void SimClient::issue_lease(Call call) {
    call.on_leases = true;
    call.op.kind = Kind::put;
    const std::uint64_t ttl_ms = random_.between(1'000, 3'000);
    kvstore::Put put{leased_key(random_.below(leased_keys)), bytes_of(new_value())};
    switch (random_.below(9)) {
        case 0: return write(std::move(call), kvstore::LeaseGrant{ttl_ms});
        case 1: return write(std::move(call), kvstore::LeaseKeepAlive{some_lease()});
        case 2: return write(std::move(call), kvstore::LeaseRevoke{some_lease()});
        case 3: return write(std::move(call), kvstore::LockAcquire{bytes_of(lock_name), some_lease()});
        case 4: return write(std::move(call), kvstore::LockRelease{bytes_of(lock_name), some_lease()});
        case 5: put.lease = some_lease(); break;
        case 6: put.fence = kvstore::Fence{bytes_of(lock_name), random_.between(1, 3)}; break;
        case 7: {
            call.is_range = true;
            Range range;
            range.begin = bytes_of("t");
            range.end = Bytes();
            return read(std::move(call), std::move(range));
        }
        default: put.ttl_ms = ttl_ms; break;
    }
    write(std::move(call), std::move(put));
}

void SimClient::learn_lease(const kvstore::Operation& operation, const kvstore::Outcome& outcome) {
    const auto* put = std::get_if<kvstore::Put>(&operation);
    if (std::holds_alternative<kvstore::LeaseGrant>(operation) || (put != nullptr && put->ttl_ms != 0)) {
        if (const auto id = kvstore::decode_count(outcome.result)) {
            leases_.emplace_back(*id);
        }
    }
}

}  // namespace loyal::sim
