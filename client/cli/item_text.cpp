#include "client/cli/item_text.h"

#include <nlohmann/json.hpp>

#include "client/cli/record_format.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

Json item_json(const kvstore::Item& item, bool keys_only) {
    return Json{{"key", json_of(item.key)},
                {"value", keys_only ? Json() : json_of(item.value)},
                {"revision", item.revision.value},
                {"version", item.version},
                {"create_revision", item.created.value},
                {"timestamp", json_of(item.timestamp)},
                {"lease", item.lease.value == 0 ? Json() : Json(item.lease.value)}};
}

std::string value_line(ByteView value, TextForm form) {
    if (form != TextForm::plain) {
        return text_in_form(value, form);
    }
    return write_record({}, value, RecordFormat::tsv).substr(1);
}

std::string item_line(const kvstore::Item& item, TextForm form, bool keys_only) {
    if (form == TextForm::plain) {
        const std::string line = write_record(item.key, item.value, RecordFormat::tsv);
        return keys_only ? line.substr(0, line.find('\t')) : line;
    }
    const std::string key = text_in_form(item.key, form);
    return keys_only ? key : key + "\t" + text_in_form(item.value, form);
}

std::string item_table(const std::vector<kvstore::Item>& items, TextForm form, bool keys_only) {
    std::vector<std::vector<std::string>> rows = {{"KEY", "REVISION", "VERSION", "LEASE", "TIMESTAMP", "VALUE"}};
    for (const kvstore::Item& item : items) {
        rows.push_back({printable(item.key, form), std::to_string(item.revision.value), std::to_string(item.version),
                        item.lease.value == 0 ? "-" : std::to_string(item.lease.value),
                        rfc3339(item.timestamp.wall_ms()), printable(item.value, form)});
    }
    if (keys_only) {
        for (auto& row : rows) {
            row.pop_back();
        }
    }
    return table(rows);
}

Json write_json(const client::WriteResult& result) {
    return Json{{"revision", result.outcome.revision.value},
                {"timestamp", json_of(result.outcome.hlc)},
                {"sequence", result.outcome.height.value},
                {"view", result.outcome.view.value},
                {"replicas", json_of(result.replicas)}};
}

const char* name_of(client::ReadPath path) {
    switch (path) {
        case client::ReadPath::fast: return "fast";
        case client::ReadPath::ordered: return "ordered";
        case client::ReadPath::stale: break;
    }
    return "stale";
}

}  // namespace loyal::cli
