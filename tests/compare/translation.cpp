#include "tests/compare/translation.h"

#include <algorithm>
#include <stdexcept>

#include "crypto/identity.h"

namespace loyal::compare {

using namespace kvstore;
using nlohmann::json;

namespace {

const std::string zero_byte(1, '\0');
constexpr const char* granted_seconds = "TTL";

// ---- To etcd

std::string base64(ByteView bytes) {
    return crypto::to_base64(bytes);
}
std::string number(std::uint64_t value) {
    return std::to_string(value);  // int64 travel as strings
}
// 0 is no revision, but what comparisons know of an absent key, there as here.
std::string etcd_revision(std::uint64_t revision, Revision empty) {
    return number(revision == 0 ? 0 : revision + empty.value);
}

void set_bounds(json& body, const Bytes& begin, const std::optional<Bytes>& end) {
    if (end && text_of(*end) == zero_byte) {  // nothing is before it; there it would mean "to the end"
        body["key"] = body["range_end"] = base64(view_of("nothing"));
        return;
    }
    body["key"] = base64(begin.empty() ? view_of(zero_byte) : ByteView(begin));
    if (end) {
        body["range_end"] = base64(end->empty() ? view_of(zero_byte) : ByteView(*end));
    }
}

json body_of(const Put& put, LeaseId lease) {
    return {{"key", base64(put.key)}, {"value", base64(put.value)}, {"lease", number(lease.value)}};
}
json body_of(const Delete& erase) {
    json body;
    set_bounds(body, erase.key, erase.end);
    return body;
}
json body_of(const Range& range, Revision empty) {
    json body{{"limit", number(range.limit)}, {"keys_only", range.keys_only}, {"count_only", range.count_only}};
    set_bounds(body, range.begin, range.end);
    if (range.revision) {
        body["revision"] = etcd_revision(range.revision->value, empty);
    }
    if (range.reverse) {
        body["sort_order"] = "DESCEND";
        body["sort_target"] = "KEY";
    }
    return body;
}

json body_of(const Compare& compare, Revision empty) {
    static constexpr const char* relations[] = {"", "EQUAL", "NOT_EQUAL", "LESS", "GREATER"};
    json body{{"key", base64(compare.key)}, {"result", relations[static_cast<std::size_t>(compare.relation)]}};
    switch (compare.target) {
        case CompareTarget::value:
            body["target"] = "VALUE";
            body["value"] = base64(compare.value);
            break;
        case CompareTarget::version:
            body["target"] = "VERSION";
            body["version"] = number(compare.number);
            break;
        case CompareTarget::created:
            body["target"] = "CREATE";
            body["create_revision"] = etcd_revision(compare.number, empty);
            break;
        case CompareTarget::modified:
            body["target"] = "MOD";
            body["mod_revision"] = etcd_revision(compare.number, empty);
            break;
        case CompareTarget::lease:
            body["target"] = "LEASE";
            body["lease"] = number(compare.number);
            break;
    }
    return body;
}

json part_of(const TxnOperation& operation, Revision empty) {
    if (const auto* put = std::get_if<Put>(&operation)) {
        return {{"request_put", body_of(*put, put->lease)}};
    }
    if (const auto* erase = std::get_if<Delete>(&operation)) {
        return {{"request_delete_range", body_of(*erase)}};
    }
    return {{"request_range", body_of(std::get<Range>(operation), empty)}};
}

json body_of(const Txn& txn, Revision empty) {
    json body{{"compare", json::array()}, {"success", json::array()}, {"failure", json::array()}};
    for (const Compare& compare : txn.compares) {
        body["compare"].push_back(body_of(compare, empty));
    }
    for (const TxnOperation& operation : txn.then) {
        body["success"].push_back(part_of(operation, empty));
    }
    for (const TxnOperation& operation : txn.otherwise) {
        body["failure"].push_back(part_of(operation, empty));
    }
    return body;
}

Txn txn_of(const CompareAndSet& cas) {
    Compare compare;
    compare.key = cas.key;
    compare.target = cas.expect ? CompareTarget::value : CompareTarget::created;
    compare.value = cas.expect.value_or(Bytes{});
    Txn txn;
    txn.compares.push_back(compare);
    if (cas.value) {
        txn.then.emplace_back(Put{cas.key, *cas.value});
    } else {
        txn.then.emplace_back(Delete{cas.key});
    }
    return txn;
}

EtcdRequest grant_of(LeaseId id, std::uint64_t ttl_ms) {
    return {"lease/grant", {{"ID", number(id.value)}, {granted_seconds, number(ttl_ms / 1000)}}};
}

// ---- From etcd

std::uint64_t number_in(const json& object, const char* name) {
    const auto found = object.find(name);  // what is 0 is left out
    return found == object.end() ? 0 : std::stoull(found->get<std::string>());
}
std::uint64_t revision_in(const json& object, const char* name, Revision empty) {
    return number_in(object, name) - empty.value;
}

json range_said_by_etcd(const Range& range, const json& answer, Revision empty) {
    const std::uint64_t count = number_in(answer, "count");
    if (range.count_only) {
        return {{"counted", count}};
    }
    json items = json::array();
    for (const json& each : answer.value("kvs", json::array())) {
        items.push_back({{"key", each.at("key")},
                         {"value", each.value("value", "")},
                         {"revision", revision_in(each, "mod_revision", empty)},
                         {"created", revision_in(each, "create_revision", empty)},
                         {"version", number_in(each, "version")},
                         {"lease", number_in(each, "lease")}});
    }
    const bool more = answer.value("more", false);
    if (more != (count > items.size())) {
        throw std::runtime_error("etcd: neither count nor `more` is as documented: " + answer.dump());
    }
    return {{"items", std::move(items)}, {"more", more}};
}

json parts_said_by_etcd(const std::vector<TxnOperation>& branch, const json& answer, Revision empty) {
    const json responses = answer.value("responses", json::array());
    if (responses.size() != branch.size()) {
        throw std::runtime_error("etcd: not one response an operation: " + answer.dump());
    }
    json parts = json::array();
    for (std::size_t i = 0; i < branch.size(); ++i) {
        if (const auto* range = std::get_if<Range>(&branch[i])) {
            parts.push_back(range_said_by_etcd(*range, responses[i].at("response_range"), empty));
        } else if (std::holds_alternative<Delete>(branch[i])) {
            parts.push_back({{"deleted", number_in(responses[i].at("response_delete_range"), "deleted")}});
        } else {
            parts.push_back({{"put", responses[i].contains("response_put")}});
        }
    }
    return parts;
}

json lease_said_by_etcd(const LeaseQuery& query, const json& answer) {
    if (query.lease.value == 0) {
        std::vector<std::uint64_t> ids;
        for (const json& each : answer.value("leases", json::array())) {
            ids.push_back(number_in(each, "ID"));
        }
        std::sort(ids.begin(), ids.end());
        return {{"leases", ids}};
    }
    if (answer.value(granted_seconds, "0") == "-1") {
        return refused(Status::no_lease);
    }
    std::vector<Bytes> keys;  // in no order
    for (const json& each : answer.value("keys", json::array())) {
        keys.push_back(crypto::from_base64(each.get<std::string>()).value());
    }
    std::sort(keys.begin(), keys.end());
    json said{{"seconds", number_in(answer, "grantedTTL")}, {"keys", json::array()}};
    for (const Bytes& key : keys) {
        said["keys"].push_back(base64(key));
    }
    return said;
}

json kept_alive_said_by_etcd(const json& answer, Revision empty) {
    if (!answer.contains(granted_seconds)) {
        return refused(Status::no_lease);
    }
    return {{"seconds", number_in(answer, granted_seconds)},
            {"store", revision_in(answer.at("header"), "revision", empty)}};
}

std::string refusal_of(const std::string& error) {
    static const std::vector<std::pair<const char*, Status>> known{
        {"etcdserver: mvcc: required revision has been compacted", Status::compacted},
        {"etcdserver: mvcc: required revision is a future revision", Status::future_revision},
        {"etcdserver: requested lease not found", Status::no_lease},
        {"etcdserver: duplicate key given in txn request", Status::invalid}};
    for (const auto& [text, status] : known) {
        if (error == text) {
            return std::string(to_string(status));
        }
    }
    return error;
}

// ---- From this store

template <class T>
T decoded(Result<T> result) {
    if (!result) {
        throw std::runtime_error("this store: " + result.error().message);
    }
    return std::move(*result);
}

json range_said_by_us(const Range& range, const RangeResult& result) {
    if (range.count_only) {
        return {{"counted", result.count}};
    }
    if (result.count != result.items.size()) {
        throw std::runtime_error("this store: the count of a page is not that of its items");
    }
    json items = json::array();
    for (const Item& item : result.items) {
        items.push_back({{"key", base64(item.key)},
                         {"value", base64(item.value)},
                         {"revision", item.revision.value},
                         {"created", item.created.value},
                         {"version", item.version},
                         {"lease", item.lease.value}});
    }
    return {{"items", std::move(items)}, {"more", result.more}};
}

json parts_said_by_us(const std::vector<TxnOperation>& branch, const TxnResult& result) {
    if (!result.parts || result.parts->size() != branch.size()) {
        throw std::runtime_error("this store: not one part an operation");
    }
    json parts = json::array();
    for (std::size_t i = 0; i < branch.size(); ++i) {
        const TxnPart& part = (*result.parts)[i];
        if (const auto* range = std::get_if<Range>(&branch[i])) {
            parts.push_back(range_said_by_us(*range, std::get<RangeResult>(part)));
        } else if (const auto* deleted = std::get_if<DeleteDone>(&part)) {
            parts.push_back({{"deleted", deleted->keys}});
        } else {
            parts.push_back({{"put", std::holds_alternative<PutDone>(part)}});
        }
    }
    return parts;
}

json lease_said_by_us(const LeaseQuery& query, const LeaseReport& report) {
    if (query.lease.value == 0) {
        std::vector<std::uint64_t> ids;
        for (const LeaseState& lease : report.leases) {
            ids.push_back(lease.id.value);
        }
        return {{"leases", ids}};
    }
    json said{{"seconds", report.leases.at(0).ttl_ms / 1000}, {"keys", json::array()}};
    for (const Bytes& key : report.keys) {
        said["keys"].push_back(base64(key));
    }
    return said;
}

const std::vector<TxnOperation>& branch_of(const Txn& txn, bool succeeded) {
    return succeeded ? txn.then : txn.otherwise;
}

}  // namespace

std::vector<EtcdRequest> to_etcd(const Operation& operation, LeaseId next_lease, Revision empty) {
    if (const auto* put = std::get_if<Put>(&operation)) {
        if (put->ttl_ms == 0) {
            return {{"kv/put", body_of(*put, put->lease)}};
        }
        return {grant_of(next_lease, put->ttl_ms), {"kv/put", body_of(*put, next_lease)}};
    }
    if (const auto* erase = std::get_if<Delete>(&operation)) {
        return {{"kv/deleterange", body_of(*erase)}};
    }
    if (const auto* cas = std::get_if<CompareAndSet>(&operation)) {
        return {{"kv/txn", body_of(txn_of(*cas), empty)}};
    }
    if (const auto* range = std::get_if<Range>(&operation)) {
        return {{"kv/range", body_of(*range, empty)}};
    }
    if (const auto* txn = std::get_if<Txn>(&operation)) {
        return {{"kv/txn", body_of(*txn, empty)}};
    }
    if (const auto* grant = std::get_if<LeaseGrant>(&operation)) {
        return {grant_of(next_lease, grant->ttl_ms)};
    }
    if (const auto* revoke = std::get_if<LeaseRevoke>(&operation)) {
        return {{"lease/revoke", {{"ID", number(revoke->lease.value)}}}};
    }
    if (const auto* keep = std::get_if<LeaseKeepAlive>(&operation)) {
        return {{"lease/keepalive", {{"ID", number(keep->lease.value)}}}};
    }
    if (const auto* query = std::get_if<LeaseQuery>(&operation)) {
        return query->lease.value == 0
                   ? std::vector<EtcdRequest>{{"lease/leases", json::object()}}
                   : std::vector<EtcdRequest>{
                         {"lease/timetolive", {{"ID", number(query->lease.value)}, {"keys", true}}}};
    }
    if (const auto* compact = std::get_if<Compact>(&operation)) {
        return {{"kv/compaction", {{"revision", etcd_revision(compact->revision.value, empty)}}}};
    }
    throw std::logic_error("an operation without a counterpart in etcd");
}

json said_by_etcd(const Operation& operation, const json& answer, Revision empty) {
    if (std::holds_alternative<LeaseKeepAlive>(operation) && answer.contains("result")) {
        return kept_alive_said_by_etcd(answer.at("result"), empty);  // it is a stream of them there
    }
    if (answer.contains("error")) {
        return {{"refused", refusal_of(answer.at("error").get<std::string>())}};
    }
    json said;
    if (const auto* range = std::get_if<Range>(&operation)) {
        said = range_said_by_etcd(*range, answer, empty);
    } else if (std::holds_alternative<Delete>(operation)) {
        said = {{"deleted", number_in(answer, "deleted")}};
    } else if (std::holds_alternative<CompareAndSet>(operation)) {
        said = {{"succeeded", answer.value("succeeded", false)}};
    } else if (const auto* txn = std::get_if<Txn>(&operation)) {
        const bool succeeded = answer.value("succeeded", false);
        said = {{"succeeded", succeeded}, {"parts", parts_said_by_etcd(branch_of(*txn, succeeded), answer, empty)}};
    } else if (std::holds_alternative<LeaseGrant>(operation)) {
        said = {{"lease", number_in(answer, "ID")}, {"seconds", number_in(answer, granted_seconds)}};
    } else if (const auto* query = std::get_if<LeaseQuery>(&operation)) {
        said = lease_said_by_etcd(*query, answer);
    }
    if (!is_refusal(said)) {
        said["store"] = revision_in(answer.at("header"), "revision", empty);
    }
    return said;
}

json said_by_us(const Operation& operation, const Outcome& outcome) {
    json said;
    if (std::holds_alternative<CompareAndSet>(operation) &&
        (outcome.status == Status::ok || outcome.status == Status::mismatch)) {
        said = {{"succeeded", outcome.status == Status::ok}};
    } else if (outcome.status == Status::not_found && std::holds_alternative<Delete>(operation)) {
        said = {{"deleted", 0}};
    } else if (outcome.status != Status::ok) {
        return refused(outcome.status);
    } else if (const auto* range = std::get_if<Range>(&operation)) {
        said = range_said_by_us(*range, decoded(decode_range_result(outcome.result)));
    } else if (const auto* erase = std::get_if<Delete>(&operation)) {
        said = {{"deleted", erase->end ? decoded(decode_count(outcome.result)) : 1}};
    } else if (const auto* txn = std::get_if<Txn>(&operation)) {
        const TxnResult result = decoded(decode_txn_result(outcome.result));
        said = {{"succeeded", result.succeeded},
                {"parts", parts_said_by_us(branch_of(*txn, result.succeeded), result)}};
    } else if (const auto* grant = std::get_if<LeaseGrant>(&operation)) {
        said = {{"lease", decoded(decode_count(outcome.result))}, {"seconds", grant->ttl_ms / 1000}};
    } else if (std::holds_alternative<LeaseKeepAlive>(operation)) {
        said = {{"seconds", decoded(decode_count(outcome.result)) / 1000}};
    } else if (const auto* query = std::get_if<LeaseQuery>(&operation)) {
        said = lease_said_by_us(*query, decoded(decode_lease_report(outcome.result)));
    }
    said["store"] = outcome.revision.value;
    return said;
}

json refused(Status status) {
    return {{"refused", to_string(status)}};
}
bool is_refusal(const json& said) {
    return said.contains("refused");
}

}  // namespace loyal::compare
