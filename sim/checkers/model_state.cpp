#include "sim/checkers/model_state.h"

#include <algorithm>

#include "config/assert.h"
#include "config/limits.h"

namespace loyal::sim {

using kvstore::Item;
using kvstore::Range;
using kvstore::RangeResult;
using kvstore::Revision;
using kvstore::Status;

const Item* ModelState::find(const Bytes& key, Revision revision) const {
    const auto versions = keys_.find(key);
    if (versions == keys_.end()) {
        return nullptr;
    }
    const auto newer = std::upper_bound(versions->second.begin(), versions->second.end(), revision,
                                        [](Revision at, const Version& version) { return at < version.revision; });
    if (newer == versions->second.begin()) {
        return nullptr;
    }
    const auto& item = std::prev(newer)->item;
    return item ? &*item : nullptr;
}

void ModelState::write(const Bytes& key, std::optional<Bytes> value, consensus::Hlc hlc) {
    const Item* old = find(key, revision_);
    revision_ = revision_.next();
    Version version{revision_, std::nullopt};
    if (value) {
        version.item = Item{key,
                            std::move(*value),
                            revision_,
                            old != nullptr ? old->created : revision_,
                            old != nullptr ? old->version + 1 : 1,
                            hlc};
    }
    keys_[key].push_back(std::move(version));
}

ModelState::Expected ModelState::apply(const kvstore::Operation& operation, consensus::Hlc hlc) {
    Expected expected;
    if (const auto* put = std::get_if<kvstore::Put>(&operation)) {
        write(put->key, put->value, hlc);
    } else if (const auto* del = std::get_if<kvstore::Delete>(&operation)) {
        if (find(del->key, revision_) != nullptr) {
            write(del->key, std::nullopt, hlc);
        } else {
            expected.status = Status::not_found;
        }
    } else if (const auto* cas = std::get_if<kvstore::CompareAndSet>(&operation)) {
        const Item* item = find(cas->key, revision_);
        const bool equal = item == nullptr ? !cas->expect : cas->expect && *cas->expect == item->value;
        if (!equal) {
            expected.status = Status::mismatch;
        } else if (item != nullptr || cas->value) {
            write(cas->key, cas->value, hlc);
        }
    } else {
        LOYAL_ASSERT(std::holds_alternative<Range>(operation), "the simulator's clients issue nothing else");
        expected.range = read(std::get<Range>(operation), revision_);
    }
    expected.revision = revision_;
    return expected;
}

RangeResult ModelState::read(const Range& range, Revision revision) const {
    std::vector<Item> all;
    if (!range.end) {
        if (const Item* item = find(range.begin, revision)) {
            all.push_back(*item);
        }
    } else {
        for (auto key = keys_.lower_bound(range.begin); key != keys_.end(); ++key) {
            if (!range.end->empty() && key->first >= *range.end) {
                break;
            }
            if (const Item* item = find(key->first, revision)) {
                all.push_back(*item);
            }
        }
    }
    RangeResult result;
    if (range.count_only) {
        result.count = all.size();
        return result;
    }
    if (range.reverse) {
        std::reverse(all.begin(), all.end());
    }
    const std::size_t page =
        range.limit == 0 ? limits::range_items_max : std::min<std::size_t>(range.limit, limits::range_items_max);
    result.more = all.size() > page;
    all.resize(std::min(all.size(), page));
    if (range.keys_only) {
        for (Item& item : all) {
            item.value.clear();
        }
    }
    result.count = all.size();
    result.items = std::move(all);
    return result;
}

}  // namespace loyal::sim
