#include "downstream/incoming_head.hpp"

#include "base/text.hpp"

#include <utility>

namespace gateway {

boost::system::result<std::size_t, fault> incoming_head::look(std::string_view bytes,
                                                              const head_limits& l)
{
    whole_ = false;
    if (const auto found = known_.at_front(bytes); found && is_known(*found, l)) {
        whole_ = again_ = true;
        looked_ = 0;
        return found->size;
    }
    const auto end = head_end(bytes, looked_);
    if ((end != 0 ? end : bytes.size()) > l.bytes) {
        return fault{fault_code::head_too_large, "the head is over limits.header_bytes",
                     whose::client, retry::no, 0};
    }
    looked_ = end == 0 ? bytes.size() : 0;
    if (end == 0) {
        return 0;
    }
    const auto head = bytes.substr(0, end);
    again_ = false;
    known_.forget();
    auto parsed = parse_head(head, l);
    if (!parsed) {
        head_ = {};
        return parsed.error();
    }
    head_ = std::move(*parsed);
    known_.keep(head);
    whole_ = true;
    return end;
}

// Takes over what is new in it.
bool incoming_head::is_known(const head_pattern::match& found, const head_limits& l)
{
    if (found.size > l.bytes || head_.fields.size() > l.fields) {
        return false;
    }
    if (!head_.content_length) {
        return true;
    }
    // With no body a head means something else.
    const auto length = parse_uint(found.length);
    if (!length || (*length == 0) != (*head_.content_length == 0)) {
        return false;
    }
    head_.content_length = length;
    for (field& f : head_.fields) {
        if (f.is == field_name::content_length) {
            f.value = found.length;
        }
    }
    return true;
}

}  // namespace gateway
