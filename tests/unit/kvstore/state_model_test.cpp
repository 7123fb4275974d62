// The state machine against a plain map: the same operations must give the same outcomes and ranges, wherever the data
// happens to be (active, frozen, stored), and a crash must give back exactly the durable height, from which the same
// blocks lead to the same digests.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::envelope_of;
using test::Machine;
using test::must;
using test::Submission;

class Model {
 public:
    Status apply(const Operation& operation, consensus::Hlc now) {
        if (const auto* put = std::get_if<Put>(&operation)) {
            return set(put->key, put->value, now);
        }
        if (const auto* erase = std::get_if<Delete>(&operation)) {
            return remove(erase->key);
        }
        if (const auto* cas = std::get_if<CompareAndSet>(&operation)) {
            const auto found = items_.find(cas->key);
            const bool matches =
                cas->expect ? found != items_.end() && found->second.value == *cas->expect : found == items_.end();
            if (!matches) {
                return Status::mismatch;
            }
            if (cas->value) {
                return set(cas->key, *cas->value, now);
            }
            (void)remove(cas->key);
            return Status::ok;
        }
        return Status::ok;
    }

    [[nodiscard]] RangeResult range(const Range& range) const {
        std::vector<Item> all;
        for (const auto& [key, item] : items_) {
            const bool inside =
                range.end ? key >= range.begin && (range.end->empty() || key < *range.end) : key == range.begin;
            if (inside) {
                all.push_back(item);
            }
        }
        if (range.reverse) {
            std::reverse(all.begin(), all.end());
        }
        RangeResult result;
        result.count = all.size();
        if (range.count_only) {
            return result;
        }
        if (range.limit != 0 && range.end && all.size() > range.limit) {
            all.resize(range.limit);
            result.more = true;
        }
        for (Item& item : all) {
            if (range.keys_only) {
                item.value.clear();
            }
        }
        result.count = all.size();
        result.items = std::move(all);
        return result;
    }
    [[nodiscard]] Revision revision() const { return revision_; }

 private:
    Status set(const Bytes& key, const Bytes& value, consensus::Hlc now) {
        revision_ = revision_.next();
        Item& item = items_[key];
        item.key = key;
        item.value = value;
        item.created = item.version == 0 ? revision_ : item.created;
        item.revision = revision_;
        ++item.version;
        item.timestamp = now;
        return Status::ok;
    }
    Status remove(const Bytes& key) {
        if (items_.erase(key) == 0) {
            return Status::not_found;
        }
        revision_ = revision_.next();
        return Status::ok;
    }

    std::map<Bytes, Item> items_;
    Revision revision_;
};

// Few keys, so that they meet; some are prefixes of others, one has a zero byte.
Bytes some_key() {
    static const std::vector<std::string> keys{"a",  "aa", "ab",   "b",       std::string("b\0", 2),
                                               "ba", "c",  "\xff", "\xff\xff"};
    return bytes_of(*rc::gen::elementOf(keys));
}
Bytes some_value() {
    return bytes_of(*rc::gen::elementOf(std::vector<std::string>{"", "1", "2", std::string(3000, 'x')}));
}

Range some_range() {
    Range range;
    range.begin = some_key();
    if (*rc::gen::inRange(0, 4) != 0) {
        range.end = *rc::gen::arbitrary<bool>() ? some_key() : Bytes();
        range.begin = *rc::gen::arbitrary<bool>() ? range.begin : Bytes();
    }
    range.limit = *rc::gen::inRange<std::uint32_t>(0, 5);
    range.reverse = *rc::gen::arbitrary<bool>();
    range.keys_only = *rc::gen::arbitrary<bool>();
    range.count_only = *rc::gen::inRange(0, 5) == 0;
    return range;
}

Operation some_operation() {
    switch (*rc::gen::inRange(0, 6)) {
        case 0: return Delete{some_key()};
        case 1: {
            CompareAndSet operation;
            operation.key = some_key();
            if (*rc::gen::arbitrary<bool>()) {
                operation.expect = some_value();
            }
            if (*rc::gen::arbitrary<bool>()) {
                operation.value = some_value();
            }
            return operation;
        }
        case 2: return some_range();
        default: return Put{some_key(), some_value()};
    }
}

// Everything that happened since the last restart, to be compared with what a replay gives.
struct Executed {
    consensus::BlockPtr block;
    ExecutedBlock result;
};

void check_same(const ExecutedBlock& a, const ExecutedBlock& b) {
    RC_ASSERT(a.digest == b.digest);
    RC_ASSERT(a.replies.size() == b.replies.size());
    for (std::size_t i = 0; i < a.replies.size(); ++i) {
        RC_ASSERT(a.replies[i].outcomes == b.replies[i].outcomes);
    }
}

RC_GTEST_PROP(StateModel, behaves_as_a_map_through_freezes_and_crashes, ()) {
    Machine machine;
    Model model;
    std::vector<Executed> history;
    std::uint64_t seq = 1;
    bool is_frozen = false;
    bool is_written = false;
    const auto blocks = *rc::gen::inRange(1, 20);
    for (int i = 0; i < blocks; ++i) {
        Submission submission;
        submission.operations.resize(*rc::gen::inRange<std::size_t>(1, 12));
        for (Operation& operation : submission.operations) {
            operation = some_operation();
        }
        submission.seq0 = seq;
        submission.ack_low = seq;
        seq += submission.operations.size();
        const auto result = machine.execute({envelope_of(submission)});
        history.push_back({machine.chain().back(), result});
        for (std::size_t at = 0; at < submission.operations.size(); ++at) {
            const Outcome& outcome = result.replies.at(0).outcomes.at(at);
            const Operation& operation = submission.operations[at];
            RC_ASSERT(outcome.status == model.apply(operation, result.hlc));
            RC_ASSERT(outcome.revision == model.revision());
            if (const auto* range = std::get_if<Range>(&operation)) {
                RC_ASSERT(must(decode_range_result(outcome.result)) == model.range(*range));
            }
        }
        const Range range = some_range();
        RC_ASSERT(machine.read(range) == model.range(range));

        switch (*rc::gen::inRange(0, 6)) {
            case 0: is_frozen = machine->freeze() || is_frozen; break;
            case 1:
                if (is_frozen) {
                    must(machine->write_frozen(*rc::gen::arbitrary<bool>() ? Durability::synced : Durability::lazy));
                    is_written = true;
                }
                break;
            case 2:
                if (is_written) {
                    machine->drop_frozen();
                    is_frozen = is_written = false;
                }
                break;
            case 3: {  // the process dies: what was written is there, whole, and nothing else
                machine.reopen();
                is_frozen = is_written = false;
                for (std::size_t at = machine->executed().value; at < history.size(); ++at) {
                    check_same(machine.execute(history[at].block), history[at].result);
                }
                break;
            }
            default: break;
        }
        const Range after = some_range();
        RC_ASSERT(machine.read(after) == model.range(after));
    }
}

}  // namespace
}  // namespace loyal::kvstore
