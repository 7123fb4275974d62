#include "tests/compare/pair.h"

#include "tests/compare/differences.h"
#include "tests/compare/translation.h"

namespace loyal::compare {

using namespace kvstore;
using nlohmann::json;

namespace {

constexpr std::size_t shown_max = 60;  // of a value that fills pages

json shortened(json value) {
    if (value.is_string()) {
        const auto& text = value.get_ref<const std::string&>();
        return text.size() <= shown_max ? text : text.substr(0, 8) + "..." + std::to_string(text.size());
    }
    if (value.is_structured()) {
        for (json& each : value) {
            each = shortened(each);
        }
    }
    return value;
}

bool grants(const Operation& operation) {
    const auto* put = std::get_if<Put>(&operation);
    return std::holds_alternative<LeaseGrant>(operation) || (put != nullptr && put->ttl_ms != 0);
}

json must_answer(const json& answer) {
    if (answer.contains("error")) {
        throw std::runtime_error("etcd cannot be emptied: " + answer.dump());
    }
    return answer;
}

Range all_keys() {
    Range range;
    range.end = Bytes();
    return range;
}

}  // namespace

Pair::Pair(EtcdClient& etcd) : etcd_(etcd) {
    empty_etcd();
}

// Without leases and keys, and compacted to where it is, it cannot be told from a new one at a later revision.
void Pair::empty_etcd() {
    const json leases = must_answer(etcd_.call("lease/leases", json::object()));
    for (const json& lease : leases.value("leases", json::array())) {
        must_answer(etcd_.call("lease/revoke", {{"ID", lease.at("ID")}}));
    }
    Delete all{Bytes(), Bytes()};
    const EtcdRequest request = to_etcd(all, {}, {}).front();
    const json answer = must_answer(etcd_.call(request.method, request.body));
    const std::string revision = answer.at("header").at("revision").get<std::string>();
    empty_ = Revision(std::stoull(revision));
    // Refused when it was empty before; that is as good.
    (void)etcd_.call("kv/compaction", {{"revision", revision}});
}

json Pair::told_by_etcd(const Operation& operation) {
    json answer;
    for (const EtcdRequest& request : to_etcd(operation, next_lease_, empty_)) {
        told_ += request.method + " " + shortened(request.body).dump() + "\n";
        answer = etcd_.call(request.method, request.body);
    }
    return said_by_etcd(operation, answer, empty_);
}

void Pair::apply(const Operation& operation) {
    compare(operation, store_.one(operation));
    ++operations_;
    if (grants(operation)) {
        next_lease_ = next_lease_.next();
    }
}

void Pair::ask(const Query& query) {
    const QueryAnswer answer = store_.ask(query);
    Outcome outcome;
    outcome.status = answer.status;
    outcome.result = answer.result;
    outcome.revision = store_->revision();
    compare(to_operation(query), outcome);
}

void Pair::compare(const Operation& operation, const Outcome& outcome) {
    ++answers_;
    const json ours = said_by_us(operation, outcome);
    if (overlaps_to_the_end(operation)) {
        if (ours != refused(Status::invalid)) {
            throw Difference(told_ + "an overlap is not refused by this store: " + ours.dump());
        }
        return;
    }
    const json theirs = told_by_etcd(operation);
    const bool same = ours == theirs || (may_have_several_reasons(operation) && is_refusal(ours) && is_refusal(theirs));
    if (!same) {
        throw Difference(told_ + "this store: " + shortened(ours).dump() + "\netcd:       " + shortened(theirs).dump() +
                         "\nthis store's 0 is etcd's " + std::to_string(empty_.value));
    }
    if (grants(operation) && test::must(decode_count(outcome.result)) != next_lease_.value) {
        throw Difference(told_ + "this store granted another lease than " + std::to_string(next_lease_.value));
    }
}

void Pair::compare_everything(Revision revision) {
    ask(all_keys());
    Range old = all_keys();
    old.revision = revision;
    ask(old);
    ask(LeaseQuery{});
    for (std::uint64_t id = 1; id < next_lease_.value; ++id) {
        ask(LeaseQuery{LeaseId(id), {}, 0});
    }
}

}  // namespace loyal::compare
