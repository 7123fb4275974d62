#include "client/lab/checks.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/checkers/linearizability.h"

namespace loyal::lab {

namespace {

constexpr std::size_t violations_per_check_max = 20;

bool is_correct(const Record& record, std::uint16_t replica) {
    return std::find(record.traitors.begin(), record.traitors.end(), replica) == record.traitors.end();
}

std::map<std::string, std::vector<std::size_t>> by_key(const Record& record) {
    std::map<std::string, std::vector<std::size_t>> keys;
    for (std::size_t i = 0; i < record.operations.size(); ++i) {
        keys[record.operations[i].key].push_back(i);
    }
    return keys;
}

// It took effect, may have, or surely did not.
enum class Effect : std::uint8_t { yes, maybe, no };
Effect effect_of(const Operation& operation) {
    if (operation.op == "get" || operation.status == Operation::Status::fail) {
        return Effect::no;
    }
    if (operation.status == Operation::Status::unknown) {
        return Effect::maybe;
    }
    return operation.applied.value_or(true) ? Effect::yes : Effect::no;
}

std::optional<sim::RegisterOp> register_op_of(const Operation& operation) {
    if (operation.status == Operation::Status::fail ||
        (operation.op == "get" && operation.status == Operation::Status::unknown)) {
        return std::nullopt;  // told nobody anything
    }
    sim::RegisterOp op;
    op.kind = operation.op == "get"   ? sim::RegisterOp::Kind::get
              : operation.op == "put" ? sim::RegisterOp::Kind::put
              : operation.op == "del" ? sim::RegisterOp::Kind::del
                                      : sim::RegisterOp::Kind::cas;
    op.call = operation.call_ns;
    op.ret = operation.status == Operation::Status::unknown ? sim::RegisterOp::never : operation.ret_ns;
    op.value = operation.value;
    op.expect = operation.expect;
    op.out = operation.out;
    op.applied = operation.applied.value_or(true);
    op.who = fmt::format("client {}", operation.client);
    return op;
}

// What the end's reading says is one more read, after everything.
void add_reading(const Record& record, const std::string& key, std::vector<sim::RegisterOp>& history) {
    const auto found = record.read_back.find(key);
    if (found == record.read_back.end()) {
        return;
    }
    std::uint64_t end = 0;
    for (const sim::RegisterOp& op : history) {
        end = std::max(end, op.ret == sim::RegisterOp::never ? op.call : op.ret);
    }
    sim::RegisterOp op;
    op.kind = sim::RegisterOp::Kind::get;
    op.call = end + 1;
    op.ret = end + 2;
    op.out = found->second;
    op.who = "the reading at the end";
    history.push_back(std::move(op));
}

std::string shown(const std::optional<std::string>& value) {
    return value ? fmt::format("\"{}\"", value->substr(0, value->find_last_not_of('.') + 1)) : "nothing";
}

// Values are padded with dots (Load): nobody wants to read these.
std::string without_padding(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t dots = i;
        while (dots < text.size() && text[dots] == '.') {
            ++dots;
        }
        if (dots - i > 3) {
            i = dots;
        } else {
            out += text[i++];
        }
    }
    return out;
}

std::string short_digest(const std::string& digest) {
    return digest.substr(0, 12);
}

}  // namespace

Finding check_agreement(const Record& record) {
    Finding finding;
    for (const auto& [height, replicas] : record.digests) {
        std::map<std::string, std::vector<std::uint16_t>> camps;
        for (const auto& [replica, digest] : replicas) {
            if (is_correct(record, replica)) {
                camps[digest].push_back(replica);
            }
        }
        if (camps.size() == 1 && camps.begin()->second.size() > 1) {
            finding.held = finding.held.value_or(true);
        }
        if (camps.size() < 2) {
            continue;
        }
        finding.held = false;
        // Digests are chained: everything after the first difference differs, too.
        if (!finding.violations.empty()) {
            continue;
        }
        Violation violation;
        violation.property = Property::agreement;
        violation.height = height;
        std::vector<std::string> words;
        for (const auto& [digest, members] : camps) {
            words.push_back(fmt::format("{} at replica {}", short_digest(digest), fmt::join(members, ", ")));
            violation.replicas.insert(violation.replicas.end(), members.begin(), members.end());
        }
        violation.text = fmt::format("correct replicas have executed height {} to different states: {}", height,
                                     fmt::join(words, "; "));
        for (const Sample& sample : record.samples) {
            if (sample.up && sample.executed >= height && is_correct(record, sample.replica)) {
                violation.at_s = sample.at_s;
                break;
            }
        }
        finding.violations.push_back(std::move(violation));
    }
    return finding;
}

Finding check_linearizability(const Record& record) {
    Finding finding;
    bool undecided = false;
    for (const auto& [key, indices] : by_key(record)) {
        std::vector<sim::RegisterOp> history;
        std::vector<std::size_t> kept;
        for (const std::size_t i : indices) {
            if (auto op = register_op_of(record.operations[i])) {
                history.push_back(std::move(*op));
                kept.push_back(i);
            }
        }
        add_reading(record, key, history);
        const sim::LinearizabilityResult result = sim::check_register(history);
        undecided = undecided || result.verdict == sim::Linearizable::unknown;
        if (result.verdict != sim::Linearizable::no) {
            continue;
        }
        finding.held = false;
        if (finding.violations.size() >= violations_per_check_max) {
            continue;
        }
        Violation violation;
        violation.property = Property::linearizable;
        violation.key = key;
        violation.text = fmt::format("no order of the operations on {} explains what clients saw: {}", key,
                                     without_padding(result.why));
        violation.operations = kept;
        finding.violations.push_back(std::move(violation));
    }
    if (!finding.held && !undecided && !record.operations.empty()) {
        finding.held = true;
    }
    return finding;
}

Finding check_durability(const Record& record) {
    Finding finding;
    std::size_t unread = 0;
    for (const auto& [key, indices] : by_key(record)) {
        // The acknowledged change that began last: whatever the key holds now was written by it or by one that was not
        // over before it began.
        const Operation* newest = nullptr;
        std::size_t newest_index = 0;
        for (const std::size_t i : indices) {
            const Operation& operation = record.operations[i];
            if (effect_of(operation) == Effect::yes && (newest == nullptr || operation.call_ns > newest->call_ns)) {
                newest = &operation;
                newest_index = i;
            }
        }
        if (newest == nullptr) {
            continue;
        }
        const auto read = record.read_back.find(key);
        if (read == record.read_back.end()) {
            ++unread;
            continue;
        }
        const bool explained = std::any_of(indices.begin(), indices.end(), [&](std::size_t i) {
            const Operation& operation = record.operations[i];
            const Effect effect = effect_of(operation);
            const bool over_before = effect == Effect::yes && operation.ret_ns < newest->call_ns;
            const std::optional<std::string> left = operation.op == "del" ? std::nullopt : operation.value;
            return effect != Effect::no && !over_before && left == read->second;
        });
        if (explained) {
            finding.held = finding.held.value_or(true);
            continue;
        }
        finding.held = false;
        if (finding.violations.size() < violations_per_check_max) {
            Violation violation;
            violation.property = Property::durable;
            violation.key = key;
            violation.operations = {newest_index};
            violation.text = fmt::format(
                "{} holds {} at the end, but {} of client {} was acknowledged and nothing that came with or after it "
                "wrote that",
                key, shown(read->second), newest->op == "del" ? "the deletion" : shown(newest->value), newest->client);
            finding.violations.push_back(std::move(violation));
        }
    }
    if (finding.held.value_or(false) && unread > 0) {
        finding.held.reset();
    }
    return finding;
}

Finding check_once(const Record& record) {
    Finding finding;
    for (const auto& [key, indices] : by_key(record)) {
        std::uint64_t surely = 0, perhaps = 0;
        bool deleted = false;
        for (const std::size_t i : indices) {
            const Effect effect = effect_of(record.operations[i]);
            deleted = deleted || (record.operations[i].op == "del" && effect != Effect::no);
            surely += effect == Effect::yes ? 1 : 0;
            perhaps += effect == Effect::maybe ? 1 : 0;
        }
        const auto version = record.versions.find(key);
        if (deleted || version == record.versions.end()) {
            continue;
        }
        if (version->second >= surely && version->second <= surely + perhaps) {
            finding.held = finding.held.value_or(true);
            continue;
        }
        finding.held = false;
        if (finding.violations.size() < violations_per_check_max) {
            Violation violation;
            violation.property = Property::once;
            violation.key = key;
            violation.operations = indices;
            violation.text =
                fmt::format("{} was changed {} times, but {} changes were acknowledged{}", key, version->second, surely,
                            perhaps > 0 ? fmt::format(" and {} may have taken effect", perhaps) : "");
            finding.violations.push_back(std::move(violation));
        }
    }
    return finding;
}

}  // namespace loyal::lab
