#include "kvstore/answers.h"

#include <cstring>

#include "config/limits.h"
#include "kvstore/operation_codec.h"

namespace loyal::kvstore {

namespace {

using crypto::CanonicalReader;
using crypto::CanonicalWriter;

// The least that one of them takes, so that a short answer cannot make us reserve for a thousand of them.
constexpr std::size_t item_bytes_min = 2 + 1 + 4 + 5 * 8;
constexpr std::size_t lease_bytes = 8 + 16 + 3 * 8;

tl::unexpected<Error> malformed_answer(const char* what) {
    return fail(Errc::invalid_argument, std::string("malformed ") + what);
}

void write_item(CanonicalWriter& out, const Item& item) {
    write_key(out, item.key);
    out.sized(item.value);
    out.number(item.revision.value).number(item.created.value).number(item.version).number(item.timestamp.packed);
    out.number(item.lease.value);
}

Item read_item(CanonicalReader& in) {
    Item item;
    item.key = read_key(in, false);
    item.value = read_value(in);
    item.revision = Revision(in.number<std::uint64_t>());
    item.created = Revision(in.number<std::uint64_t>());
    item.version = in.number<std::uint64_t>();
    item.timestamp = consensus::Hlc(in.number<std::uint64_t>());
    item.lease = LeaseId(in.number<std::uint64_t>());
    return item;
}

void write_client(CanonicalWriter& out, const consensus::ClientId& client) {
    out.raw(client.bytes);
}
consensus::ClientId read_client(CanonicalReader& in) {
    consensus::ClientId client;
    const ByteView bytes = in.raw(client.bytes.size());
    if (!bytes.empty()) {
        std::memcpy(client.bytes.data(), bytes.data(), bytes.size());
    }
    return client;
}

bool read_flag(CanonicalReader& in) {
    const auto flag = in.number<std::uint8_t>();
    if (flag > 1) {
        in.reject();
    }
    return flag == 1;
}

void write_range_result(CanonicalWriter& out, const RangeResult& result) {
    out.number(static_cast<std::uint8_t>(result.more ? 1 : 0)).number(result.count);
    out.number(static_cast<std::uint32_t>(result.items.size()));
    for (const Item& item : result.items) {
        write_item(out, item);
    }
}

RangeResult read_range_result(CanonicalReader& in) {
    RangeResult result;
    result.more = read_flag(in);
    result.count = in.number<std::uint64_t>();
    const auto size = in.number<std::uint32_t>();
    if (!in.ok() || size > limits::range_items_max || size > in.left() / item_bytes_min) {
        in.reject();
        return result;
    }
    result.items.reserve(size);
    for (std::uint32_t i = 0; i < size && in.ok(); ++i) {
        result.items.push_back(read_item(in));
    }
    return result;
}

// Parts of a transaction's result.
constexpr std::uint8_t part_put = 1;
constexpr std::uint8_t part_delete = 2;
constexpr std::uint8_t part_range = 4;

struct PartWriter {
    CanonicalWriter& out;
    void operator()(const PutDone&) const { out.number(part_put); }
    void operator()(const DeleteDone& done) const { out.number(part_delete).number(done.keys); }
    void operator()(const RangeResult& result) const {
        out.number(part_range);
        write_range_result(out, result);
    }
};

TxnPart read_part(CanonicalReader& in) {
    switch (in.number<std::uint8_t>()) {
        case part_put: return PutDone{};
        case part_delete: return DeleteDone{in.number<std::uint64_t>()};
        case part_range: return read_range_result(in);
        default: in.reject(); return PutDone{};
    }
}

}  // namespace

Bytes encode_range_result(const RangeResult& result) {
    CanonicalWriter out;
    write_range_result(out, result);
    return out.take();
}

Result<RangeResult> decode_range_result(ByteView bytes) {
    CanonicalReader in(bytes);
    RangeResult result = read_range_result(in);
    if (!in.finish()) {
        return malformed_answer("range result");
    }
    return result;
}

Bytes encode_count(std::uint64_t count) {
    return CanonicalWriter(8).number(count).take();
}

Result<std::uint64_t> decode_count(ByteView bytes) {
    CanonicalReader in(bytes);
    const auto count = in.number<std::uint64_t>();
    if (!in.finish()) {
        return malformed_answer("count");
    }
    return count;
}

Bytes encode_lock_place(const LockPlace& place) {
    return CanonicalWriter(12).number(place.token).number(place.ahead).take();
}

Result<LockPlace> decode_lock_place(ByteView bytes) {
    CanonicalReader in(bytes);
    LockPlace place;
    place.token = in.number<std::uint64_t>();
    place.ahead = in.number<std::uint32_t>();
    if (!in.finish() || (place.token == 0) != (place.ahead > 0)) {
        return malformed_answer("place in a lock's queue");
    }
    return place;
}

Bytes encode_lease_report(const LeaseReport& report) {
    CanonicalWriter out;
    out.number(static_cast<std::uint8_t>(report.more ? 1 : 0));
    out.number(static_cast<std::uint32_t>(report.leases.size()));
    for (const LeaseState& lease : report.leases) {
        out.number(lease.id.value);
        write_client(out, lease.owner);
        out.number(lease.ttl_ms).number(lease.left_ms).number(lease.keys);
    }
    out.number(static_cast<std::uint32_t>(report.keys.size()));
    for (const Bytes& key : report.keys) {
        write_key(out, key);
    }
    return out.take();
}

Result<LeaseReport> decode_lease_report(ByteView bytes) {
    CanonicalReader in(bytes);
    LeaseReport report;
    report.more = read_flag(in);
    const auto leases = in.number<std::uint32_t>();
    if (!in.ok() || leases > limits::range_items_max || leases > in.left() / lease_bytes) {
        return malformed_answer("report of leases");
    }
    for (std::uint32_t i = 0; i < leases; ++i) {
        LeaseState lease;
        lease.id = LeaseId(in.number<std::uint64_t>());
        lease.owner = read_client(in);
        lease.ttl_ms = in.number<std::uint64_t>();
        lease.left_ms = in.number<std::uint64_t>();
        lease.keys = in.number<std::uint64_t>();
        report.leases.push_back(lease);
    }
    const auto keys = in.number<std::uint32_t>();
    if (!in.ok() || keys > limits::range_items_max) {
        return malformed_answer("report of leases");
    }
    for (std::uint32_t i = 0; i < keys && in.ok(); ++i) {
        report.keys.push_back(read_key(in, false));
    }
    if (!in.finish()) {
        return malformed_answer("report of leases");
    }
    return report;
}

Bytes encode_lock_report(const LockReport& report) {
    CanonicalWriter out;
    out.number(report.token).number(static_cast<std::uint32_t>(report.queue.size()));
    for (const LockWaiter& waiter : report.queue) {
        out.number(waiter.lease.value);
        write_client(out, waiter.client);
        out.sized(waiter.value);
    }
    return out.take();
}

Result<LockReport> decode_lock_report(ByteView bytes) {
    CanonicalReader in(bytes);
    LockReport report;
    report.token = in.number<std::uint64_t>();
    const auto size = in.number<std::uint32_t>();
    if (!in.ok() || size > limits::lock_queue_max) {
        return malformed_answer("report of a lock");
    }
    for (std::uint32_t i = 0; i < size && in.ok(); ++i) {
        LockWaiter waiter;
        waiter.lease = LeaseId(in.number<std::uint64_t>());
        waiter.client = read_client(in);
        const ByteView value = in.sized(limits::lock_value_bytes_max);
        waiter.value.assign(value.begin(), value.end());
        report.queue.push_back(std::move(waiter));
    }
    if (!in.finish()) {
        return malformed_answer("report of a lock");
    }
    return report;
}

Bytes encode_client_report(const ClientReport& report) {
    CanonicalWriter out;
    out.number(static_cast<std::uint8_t>(report.more ? 1 : 0));
    out.number(static_cast<std::uint32_t>(report.clients.size()));
    for (const ClientRecord& client : report.clients) {
        out.sized(encode_client(client));
    }
    return out.take();
}

Result<ClientReport> decode_client_report(ByteView bytes) {
    CanonicalReader in(bytes);
    ClientReport report;
    report.more = read_flag(in);
    const auto size = in.number<std::uint32_t>();
    if (!in.ok() || size > limits::range_items_max) {
        return malformed_answer("report of clients");
    }
    for (std::uint32_t i = 0; i < size && in.ok(); ++i) {
        auto client = decode_client(in.sized(limits::range_bytes_max));
        if (!client || !client->present) {
            return malformed_answer("report of clients");
        }
        report.clients.push_back(std::move(client->client));
    }
    if (!in.finish()) {
        return malformed_answer("report of clients");
    }
    return report;
}

Bytes encode_txn_result(const TxnResult& result) {
    CanonicalWriter out;
    out.number(static_cast<std::uint8_t>(result.succeeded ? 1 : 0));
    if (result.parts) {
        out.number(static_cast<std::uint16_t>(result.parts->size()));
        for (const TxnPart& part : *result.parts) {
            std::visit(PartWriter{out}, part);
        }
    }
    return out.take();
}

Result<TxnResult> decode_txn_result(ByteView bytes) {
    CanonicalReader in(bytes);
    TxnResult result;
    result.succeeded = read_flag(in);
    if (in.ok() && in.left() > 0) {
        const auto size = in.number<std::uint16_t>();
        if (size > limits::txn_parts_max) {
            return malformed_answer("result of a transaction");
        }
        result.parts.emplace();
        for (std::uint16_t i = 0; i < size && in.ok(); ++i) {
            result.parts->push_back(read_part(in));
        }
    }
    if (!in.finish()) {
        return malformed_answer("result of a transaction");
    }
    return result;
}

Bytes encode_query_answer(const QueryAnswer& answer) {
    CanonicalWriter out(1 + answer.result.size());
    return out.number(static_cast<std::uint8_t>(answer.status)).raw(answer.result).take();
}

Result<QueryAnswer> decode_query_answer(ByteView bytes) {
    CanonicalReader in(bytes);
    const auto status = in.number<std::uint8_t>();
    if (!in.ok() || !is_status(status)) {
        return malformed_answer("answer to a query");
    }
    const ByteView result = in.raw(in.left());
    return QueryAnswer{static_cast<Status>(status), Bytes(result.begin(), result.end())};
}

}  // namespace loyal::kvstore
